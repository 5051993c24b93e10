"""A line of `predict -` is a text, or JSON that holds one; JSON without the text is an error, never scored literally."""

import pytest
from click.testing import CliRunner

from textpipe.commands import predict
from textpipe.commands.predict import read_line
from textpipe.errors import DataError


def read(text, fields=("text",), number=4, **options):
    return read_line(text.encode("utf-8", "surrogatepass") + b"\n", number, dict.fromkeys(fields, "string"), **options)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("See you at noon.", "See you at noon."),
        ('"two\\nlines"', "two\nlines"),
        ('"Yes," she wrote.', '"Yes," she wrote.'),
        ("{name}, thank you", "{name}, thank you"),
        ("{{ greeting }} all", "{{ greeting }} all"),
        ("{", "{"),
        ("null", "null"),
        ("42", "42"),
        ("[1] see below", "[1] see below"),
        ("  indented", "  indented"),
        ("", ""),
    ],
)
def test_a_text_stays_a_text(line, text):
    assert read(line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [('{"text": "Hi\\nthere"}', "Hi\nthere"), (' {"id": 7, "text": ""}', ""), ('{"text": "a", "text": "b"}', "b")],
)
def test_an_object_is_reduced_to_its_field(line, text):
    assert read(line) == {"text": text}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"txt": "Hello"}', "line 4: no key 'text'; did you mean 'txt'"),
        ("{}", "line 4: no key 'text'"),
        ('{"Text": null, "body": 3}', "line 4: no key 'text'"),
        ('{"text": null}', "line 4: 'text' must be a text, found null"),
        ('{"text": 12.5}', "'text' must be a text, found a number"),
        ('{"text": ' + "9" * 5000 + "}", "'text' must be a text, found a number"),
        ('{"text": NaN}', "'text' must be a text, found a number"),
        ('{"text": false}', "'text' must be a text, found true or false"),
        ('{"text": ["Hello"]}', "'text' must be a text, found a list"),
        ('{"text": {"body": "Hello"}}', "'text' must be a text, found an object"),
        ('{"text": "cut off', "line 4: starts like a JSON object but is not valid JSON"),
        ("{'text': 'from Python'}", "line 4: starts like a JSON object but is not valid JSON"),
        ('{"text":' * 20_000, "line 4: starts like a JSON object but is not valid JSON"),
    ],
)
def test_json_without_a_text_is_an_error_unless_taken_literally(line, words):
    with pytest.raises(DataError, match=words):
        read(line)
    assert read(line, plain=True) == line


def test_a_model_with_several_fields_takes_only_objects():
    fields = ("question", "story")
    assert read('{"story": "s", "question": "q"}', fields) == {"question": "q", "story": "s"}
    for line in ("a text", '"a string"'):
        with pytest.raises(DataError, match="line 4: the model takes question, story"):
            read(line, fields)
    with pytest.raises(DataError, match="no key 'question'"):
        read('{"story": "s"}', fields)


def test_lines_that_are_not_utf8_are_counted_and_utf16_is_refused(monkeypatch, capsys):
    class Echo:
        dtypes, described = {"text": "string"}, {}

        def predict(self, lines, **options):
            return [{"answer": line, "score": 1.0} for line in lines]

    monkeypatch.setattr(predict, "load", lambda model, token: Echo())
    found = CliRunner().invoke(
        predict.command, ["model", "-"], input="Grüße\n".encode() + "Grüße\nMüll\n".encode("cp1252")
    )
    assert found.stdout.splitlines()[1:] == ["Gr\ufffd\ufffde\t1", "M\ufffdll\t1"]
    assert "lines with bytes that are not UTF-8, each replaced by U+FFFD: 2" in found.stderr
    with pytest.raises(DataError, match="byte order mark of utf-16"):
        CliRunner().invoke(predict.command, ["model", "-"], input="Grüße\n".encode("utf-16"), catch_exceptions=False)
