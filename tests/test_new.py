"""`textpipe new`: what it writes can be run, and what it refuses is explained in its own options."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.commands import new
from textpipe.pipeline import scaffold, shell_text
from textpipe.pipeline.toml_text import toml

ROWS = [(f"{kind} number {number}", label) for number in range(40) for kind, label in (("ask", "yes"), ("thank", "no"))]
NASTY = [
    "new\nline",
    'a "quoted" b',
    "back\\slash",
    "it's",
    "".join(map(chr, range(1, 32))),
    "\x7f\x85\u2028",
    "a b",
    "😀",
    "$x`y`",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def refused(*arguments) -> str:
    """The last line of a command that ends with exit code 2."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "") and "Traceback" not in err, err
    return err.strip().splitlines()[-1]


def advised(message: str) -> list[str]:
    """The options that a message advises, as a shell reads them."""
    return shlex.split(re.search(r"""((?:--(?:columns|format) (?:"[^"]*"|'[^']*') ?)+)""", message)[1])


def csv_of(header: str, separator: str = ",", end: str = "\n") -> str:
    lines = [separator.join((str(number), *row)) for number, row in enumerate(ROWS)]
    return "".join(line + end for line in [header, *lines])


STORY = '{"facts": ["Ann is here."], "query": "Where is %d?", "place": "%s"}\n'
TABLE = '{"rows": [["a"], ["%d"]], "ask": "which %s?", "found": "1"}\n'
DIALOG = '{"message": "hello %d", "mine": "thanks, %s"}\n'


@pytest.mark.parametrize(
    "task, name, content, options",
    [
        ("classify", "a.csv", csv_of("ID,E-Mail Text (raw),needs reply?"), "text=E-Mail Text (raw),label=needs reply?"),
        ("multi_label", "a.csv", csv_of("ID,mail,tags"), "text=mail,labels=tags"),
        ("translate", "a.tsv", "English\tDeutsch\n" + "a dog\tein Hund\n" * 30, "source=English,target=Deutsch"),
        ("reply", "a.jsonl", "".join(DIALOG % (number, label) for number, (_, label) in enumerate(ROWS)), "reply=mine"),
        (
            "suggest",
            "a.jsonl",
            "".join(DIALOG % (number, label) for number, (_, label) in enumerate(ROWS)),
            "reply=mine",
        ),
        ("qa", "a.jsonl", "".join(STORY % (number, label) for number, (_, label) in enumerate(ROWS)), None),
        ("table_qa", "a.jsonl", "".join(TABLE % (number, label) for number, (_, label) in enumerate(ROWS)), None),
    ],
)
def test_a_missing_column_is_answered_with_the_files_columns_and_options_of_new(here, task, name, content, options):
    (here / name).write_text(content)
    message = refused("new", task, name)
    assert message.startswith(f"error: {name}") and "no column" in message and "the columns are" in message
    assert "format.header" not in message and '--columns "' in message
    if options is not None:
        assert advised(message) == ["--columns", options]
        assert call("new", task, name, *advised(message), "--output", "good.toml")[0] == 0
        assert call("plan", "good.toml")[0] == 0


@pytest.mark.parametrize("separator", [";", "|", "\t"])
@pytest.mark.parametrize("header", ["id,text,label", "id,Mail,Art"])
def test_another_delimiter_is_advised_as_the_command_line_takes_it(here, separator, header):
    (here / "a.csv").write_text(csv_of(header.replace(",", separator), separator))
    options = advised(refused("new", "classify", "a.csv"))
    assert tomllib.loads(f"format = {options[1]}")["format"] == {"kind": "csv", "delimiter": separator}
    assert options[2:] == ([] if "text" in header else ["--columns", "text=Mail,label=Art"])
    assert call("new", "classify", "a.csv", *options, "--output", "good.toml")[0] == 0


def test_a_repeated_column_is_answered_with_a_format_that_names_all(here):
    (here / "a.csv").write_text(csv_of("text,text,label"))
    message = refused("new", "classify", "a.csv")
    assert "2 columns are called 'text'" in message
    assert (
        call("new", "classify", "a.csv", *advised(message), "--columns", "text=text_2", "--output", "good.toml")[0] == 0
    )


def test_a_mailbox_is_answered_with_its_columns(here):
    mails = "".join(
        f"From a\nFrom: p@x.org\nTo: me@x.org\nMessage-ID: <{n}@x>\nSubject: s{n}\n\nhello\n\n" for n in range(9)
    )
    (here / "box.mbox").write_text(mails)
    message = refused("new", "classify", "--mbox", "box.mbox", "--me", "me@x.org")
    assert 'for example --columns "text=subject+body,label=answered"' in message


def test_names_that_columns_cannot_hold_are_named(here):
    (here / "a.csv").write_text('"Mail, raw",a+b,label\n' + "hello,x,yes\nbye,y,no\n" * 20)
    assert "--columns cannot name 'Mail, raw', 'a+b': rename it" in refused("new", "classify", "a.csv")


@pytest.mark.parametrize(
    "name, bad_row, problem",
    [
        ("a.csv", "one cell\n", "1 column where the header has 2"), ("a.tsv", "one cell\n", "1 column where the header has 2"),
        ("a.csv", 'x,"open"y\n', "not valid CSV"), ("a.jsonl", '{"text": "open\n', "not JSON"),
        ("a.jsonl", '{"text": ["list"], "label": "no"}\n', "is a list"),
    ],
)  # fmt: skip
def test_new_and_plan_refuse_the_rows_that_ingest_refuses(here, name, bad_row, problem):
    lines = {
        "a.csv": ["text,label\n", *(f"{text},{label}\n" for text, label in ROWS)],
        "a.tsv": ["text\tlabel\n", *(f"{text}\t{label}\n" for text, label in ROWS)],
        "a.jsonl": [f'{{"text": "{text}", "label": "{label}"}}\n' for text, label in ROWS],
    }[name]
    lines.insert(7, bad_row)
    (here / name).write_text("".join(lines))
    message = refused("new", "classify", name)
    assert f"{name}, line 8: {problem}" in message.replace("'text' ", "") and message.endswith(
        "with --on-bad-rows drop"
    )
    assert not (here / "pipelines").exists()
    code, out, err = call("new", "classify", name, "--on-bad-rows", "drop")
    assert code == 0 and 'on_bad_rows = "drop"' in (here / out.strip()).read_text(), err
    assert call("ingest", out.strip())[0] == 0
    written = (here / out.strip()).read_text()
    (here / "strict.toml").write_text(written.replace('on_bad_rows = "drop"', 'on_bad_rows = "error"'))
    assert problem in refused("plan", "strict.toml")


def test_a_cell_that_its_kind_refuses_is_refused_by_new(here):
    rows = '{"table": [["a"], ["1"]], "question": "which?", "denotation": "1"}\n' * 20
    (here / "a.jsonl").write_text(rows + '{"table": "no table", "question": "which?", "denotation": "1"}\n')
    assert "a.jsonl, line 21" in refused("new", "table_qa", "a.jsonl")


def test_a_label_column_of_unique_values_is_refused_by_new(here):
    (here / "a.csv").write_text(csv_of("ID,text,label"))
    message = refused("new", "classify", "a.csv", "--columns", "label=ID")
    assert "each of the 80 rows has a label of its own in column 'ID'" in message and "choose another column" in message


@pytest.mark.parametrize("name", [*NASTY, *(f"#{text}" for text in NASTY)])
def test_a_pipeline_file_for_any_file_name_is_valid_toml(here, name):
    folder = here / "data"
    folder.mkdir()
    (folder / f"{name}.csv").write_text(csv_of("ID,text,label"))
    code, _, err = call("new", "classify", folder / f"{name}.csv", "--output", f"{name}.toml")
    assert code == 0, err
    text = (here / f"{name}.toml").read_bytes().decode()
    assert tomllib.loads(text)["ingest"]["files"] == str(folder / f"{name}.csv")
    command = text.partition("\n")[0].removeprefix("# textpipe run ")
    shown = subprocess.run(
        ["bash", "-c", f"printf %s {command}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True
    )
    assert shown.stdout.decode() == f"{name}.toml"


def test_a_file_name_that_is_not_utf8_is_refused(here):
    (here / "a\udcff.csv").write_text(csv_of("ID,text,label"))
    assert re.search(r"a\\udcff.toml.*this name is not; rename the file", refused("new", "classify", "a\udcff.csv"))


@pytest.mark.parametrize("text", NASTY)
def test_texts_survive_toml_and_the_shell(text):
    assert tomllib.loads(f"a = {toml({text: [text, {'b': text}]})}") == {"a": {text: [text, {"b": text}]}}
    for quoted in (shell_text.word(text), shell_text.quoted(text)):
        assert "\n" not in quoted
        shown = subprocess.run(
            ["bash", "-c", f"printf %s {quoted}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True
        )
        assert shown.stdout.decode() == text


def test_rows_whose_sets_of_labels_all_differ_are_not_refused(tmp_path):
    lines = (f"text number {number}\ta{number}|b\n" for number in range(40))
    (tmp_path / "rows.tsv").write_text("text\tlabels\n" + "".join(lines))
    scaffold.write("multi_label", tmp_path / "rows.tsv", "", tmp_path / "new.toml")
    assert (tmp_path / "new.toml").is_file()


@pytest.mark.parametrize(
    ("data", "name"),
    [("mails.tsv.gz", "mails"), (".hidden.csv", "hidden"), (".", "here"), ("..", "above"), ("/", "data")],
)
def test_a_pipeline_is_named_after_its_data_wherever_that_is(tmp_path, monkeypatch, data, name):
    folder = tmp_path / "above" / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert new.name_of(Path(data)) == name
