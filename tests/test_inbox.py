"""The inbox page, with and without a trigger, and the feedback log: what a server writes, ingest reads back."""

import email
import email.policy
import errno
import json
import mailbox
import os
import re
import shutil
import stat
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace

import chromium
import nasty_strings
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from serving_server import running

from textpipe.commands.serve import command
from textpipe.data import shards
from textpipe.errors import ConfigError, ModelError
from textpipe.savedmodel import manifest
from textpipe.serve.access import TokenAuth
from textpipe.serve.engine import feedback_log, warmup
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.feedback_log import FeedbackLog, LogFullError
from textpipe.stages import ingest

REPLIES = ["Yes, I am.", "Let me check.", "Sorry, <no>."]
ROW = {"subject": "Lunch", "body": "are you free?", "recipients": 1, "from_list": 0}
needs_chromium = pytest.mark.skipif(
    not chromium.BROWSER, reason="needs Chromium, which is not installed (Debian: apt-get install chromium)"
)


# Models of three fixed replies


def probability(inputs):
    """Of an answer: words count, and mail of lists is less often answered."""
    text = tf.strings.join([inputs["subject"], inputs["body"]], " ")
    logit = tf.constant(-1.5)
    for word, weight in (("free", 2.0), ("you", 0.4), ("Thursday", 1.0), ("warehouse", -2.0)):
        logit += weight * tf.cast(tf.strings.regex_full_match(text, f"(?s).*{word}.*"), tf.float32)
    return tf.sigmoid(logit - 3.0 * inputs["from_list"])


def answers(inputs, threshold, triggered):
    rows = tf.shape(inputs["body"])[0]
    share = probability(inputs)
    fires = share >= threshold if triggered else tf.ones([rows], tf.bool)
    replies = tf.where(fires[:, None], tf.tile(tf.constant([REPLIES]), [rows, 1]), "")
    outputs = {"replies": replies, "scores": tf.tile(tf.constant([[0.5, 0.3, 0.2]]), [rows, 1]), "intents": replies}
    return {**outputs, "fires": fires, "probability": share} if triggered else outputs


def golden_row(raw, share, triggered):
    """As export writes it: what the ranker alone gives, and the trigger's probability."""
    row = {"raw": raw, "texts": REPLIES, "scores": [0.5, 0.3, 0.2]}
    return {**row, "trigger": {"probability": share, "threshold": 0.5}} if triggered else row


def export(folder, *, triggered):
    """A model of the four inputs of ROW; triggered: its outputs have fires and probability, its options a threshold."""
    specs = {name: tf.TensorSpec([None], tf.string if type(cell) is str else tf.float32) for name, cell in ROW.items()}
    kinds = {name: "text" if spec.dtype == tf.string else "number" for name, spec in specs.items()}
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], spec.dtype, name) for name, spec in specs.items()])
    def run(subject, body, recipients, from_list):
        inputs = {"subject": subject, "body": body, "recipients": recipients, "from_list": from_list}
        outputs = answers(inputs, 0.5, triggered)
        score = tf.where(outputs["replies"][:, 0] == "", 0.0, outputs["scores"][:, 0])
        return {"answer": outputs["replies"][:, 0], "score": score, **outputs}

    signature = [tf.TensorSpec([None], spec.dtype, name) for name, spec in specs.items()]

    @tf.function(input_signature=[*signature, tf.TensorSpec([], tf.float32, "threshold")])
    def options(subject, body, recipients, from_list, threshold=tf.constant(0.5)):
        inputs = {"subject": subject, "body": body, "recipients": recipients, "from_list": from_list}
        return answers(inputs, threshold, triggered)

    module.run, module.options = run, options
    functions = {"serving_default": run, **({"options": options} if triggered else {})}
    tf.saved_model.save(module, str(folder), signatures=functions)
    inputs = {name: {"kind": kinds[name], "dtype": spec.dtype.name, "shape": [None]} for name, spec in specs.items()}
    threshold = {"threshold": {"kind": "option", "dtype": "float32", "shape": []}}
    common = {"gives": "answer", "method": "predict", "mergeable": False, "follows": None, "search": None}
    about = {
        "format": 2, "task": "suggest", "inputs": list(ROW), "answer": "ranking",
        "fields": [{"name": name, "side": "source", "kind": kind} for name, kind in kinds.items()],
        "view": {"kind": "replies", "signature": "serving_default", "attention": None},
        "signatures": {
            name: {**common, "inputs": {**inputs, **(threshold if name == "options" else {})},
                   "outputs": sorted(function.structured_outputs)}
            for name, function in ((name, function.get_concrete_function()) for name, function in functions.items())
        },
    }  # fmt: skip
    (folder / "textpipe.json").write_text(json.dumps(about))
    golden = [golden_row(ROW, 0.71, triggered), golden_row({**ROW, "from_list": 1}, 0.11, triggered)]
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "golden.jsonl").write_text("\n".join(map(json.dumps, golden)) + "\n")
    manifest.write(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("inbox")
    export(root / "triggered" / "1", triggered=True)
    export(root / "always" / "1", triggered=False)
    module = tf.Module()
    module.run = tf.function(lambda x: {"y": x + 1.0}, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(module, str(root / "another" / "1"), signatures={"serving_default": module.run})
    return root


@pytest.fixture(scope="module")
def one_model(models, tmp_path_factory):
    return shutil.copytree(models / "triggered", tmp_path_factory.mktemp("single") / "triggered").parent


@pytest.fixture
def log(tmp_path):
    return tmp_path / "feedback.jsonl"


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """A server with a log, whose path is `log`."""
    path = tmp_path_factory.mktemp("log") / "feedback.jsonl"
    with running(models, feedback_log=path) as found:
        found.log = path
        yield found


@pytest.fixture(scope="module")
def server_without_log(models):
    with running(models) as found:
        yield found


@pytest.fixture
def fresh(server):
    """The server with an empty log."""
    server.log.write_bytes(b"")
    return server


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


JSON = {"Content-Type": "application/json"}


def send(server, model="triggered", path=":feedback", headers=(), **request):
    status, _, body = server.ask("POST", f"/v1/models/{model}{path}", request, {**JSON, **dict(headers)})
    return status, json.loads(body)


def feedback(taken, *, edited=False, **inputs):
    return {"inputs": {**ROW, **inputs}, "shown": REPLIES, "taken": taken, "edited": edited}


def test_golden_rows_below_the_threshold_have_no_answer():
    rows = [golden_row(ROW, share, True) for share in (0.71, 0.11)]

    def check(*answers):
        outputs = {"answer": np.array(answers, object), "score": np.array([0.5 * bool(one) for one in answers])}
        signature = SimpleNamespace(inputs={"body": "string"}, call=lambda tensors: outputs)
        warmup.check_golden_rows(SimpleNamespace(path=Path("here"), signature=lambda name: signature), rows)

    check(REPLIES[0].encode(), b"")
    with pytest.raises(ModelError, match=r"is answered .* where the export recorded"):
        check(b"", REPLIES[0].encode())


# The log


def test_each_choice_is_a_line_that_only_the_operator_can_read(fresh):
    requests = (feedback(REPLIES[0]), feedback("Yes, at one.", edited=True), feedback(None))
    assert [send(fresh, **request) for request in requests] == [(200, {})] * 3
    found = lines(fresh.log)
    assert [(line["action"], line["reply"]) for line in found] == [
        ("taken", REPLIES[0]),
        ("edited", "Yes, at one."),
        ("dismissed", ""),
    ]
    for line in found:
        assert {name: line[name] for name in ROW} == ROW and line["shown"] == REPLIES
        assert (line["model"], line["version"]) == ("triggered", 1) and line["time"].endswith("Z")
    assert stat.S_IMODE(fresh.log.stat().st_mode) == 0o600
    assert json.loads(fresh.ask("GET", "/models")[2])["feedback"] is True


def test_without_the_option_nothing_is_logged(server_without_log):
    status, answer = send(server_without_log, **feedback(REPLIES[0]))
    assert status == 404 and "--feedback-log" in answer["error"]
    assert json.loads(server_without_log.ask("GET", "/models")[2])["feedback"] is False


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({**feedback(None), "inputs": {"body": "x"}}, "inputs: expected an object of subject, body, recipients, from_list, found body"),
        ({**feedback(None), "inputs": "x"}, "inputs: expected an object of subject, body, recipients, from_list, found a text"),
        (feedback(None, body=7), "inputs.body: expected a text, found a number"),
        (feedback(None, recipients="2"), "inputs.recipients: expected a number, found a text"),
        (feedback(None, recipients=True), "inputs.recipients: expected a number, found a boolean"),
        ({**feedback(None), "shown": "x"}, "shown: expected a list of at most 100 replies, found a text"),
        ({**feedback(None), "shown": ["x"] * 101}, "shown: expected a list of at most 100 replies, found 101"),
        ({**feedback(None), "shown": [1]}, "shown[0]: expected a text, found a number"),
        (feedback("  "), "taken: expected a reply, or null if none was taken, found a blank text"),
        (feedback("Another."), "taken: is not one of the replies in shown; set edited to true if the user changed it"),
        (feedback(None, edited=True), "edited: is true, but taken has no reply; give the edited reply in taken"),
        (feedback(REPLIES[0], edited=1), "edited: expected true or false, found a number"),
        ({**feedback(None), "stars": 5}, "'stars': unknown key; expected inputs, shown, taken, edited"),
        (feedback(None, body="x" * ((1 << 20) + 1)), "inputs.body: a text of 1048577 bytes where this server takes 1048576"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_explained_and_not_logged(fresh, request_, message):
    assert send(fresh, **request_) == (400, {"error": message})
    assert not fresh.log.read_bytes()


def test_only_models_that_suggest_replies_take_feedback(fresh):
    for model, status, word in (("another", 400, "does not suggest replies"), ("none", 404, "Servable not found")):
        found, answer = send(fresh, model, **feedback(None))
        assert found == status and word in answer["error"]
    assert send(fresh, path="/versions/1:feedback", **feedback(None))[0] == 200
    assert send(fresh, path="/versions/2:feedback", **feedback(None))[0] == 404
    assert fresh.ask("GET", "/v1/models/triggered:feedback")[0] == 400
    assert len(lines(fresh.log)) == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_type_that_any_website_may_send_is_refused(fresh, kind):
    status, answer = send(fresh, headers={"Content-Type": kind}, **feedback(None))
    assert status == 400
    assert "expected the content type application/json" in answer["error"]
    assert fresh.log.read_bytes() == b""


def test_a_missing_number_is_null(fresh):
    body = json.dumps(feedback(None, recipients="HERE")).replace('"HERE"', "NaN")
    assert fresh.ask("POST", "/v1/models/triggered:feedback", body, JSON)[0] == 200
    assert lines(fresh.log)[0]["recipients"] is None


def test_a_full_log_refuses_lines_and_stays_as_it_is(one_model, log):
    size = 1000
    with running(one_model, feedback_log=log, feedback_limit=size) as server:
        statuses = [send(server, **feedback(REPLIES[0]))[0] for _ in range(8)]
        assert statuses == sorted(statuses) and set(statuses) == {200, 507}
        assert "--feedback-limit" in send(server, **feedback(REPLIES[0]))[1]["error"]
    assert len(lines(log)) == statuses.count(200) and log.stat().st_size <= size


def test_feedback_needs_the_token_and_is_never_in_the_access_log(one_model, log, capfd):
    options = {"auth": TokenAuth(["secret"]), "access_log": True, "log_texts": True}
    with running(one_model, feedback_log=log, **options) as server:
        assert send(server, **feedback(None, body="xyzzy"))[0] == 401
        token = {"Authorization": "Bearer secret"}
        assert send(server, headers=token, **feedback(None, body="xyzzy"))[0] == 200
        assert send(server, headers=token, **{**feedback(None, body="xyzzy"), "stars": 5})[0] == 400
    assert len(lines(log)) == 1
    captured = capfd.readouterr().err
    assert captured.count(":feedback") == 3 and "xyzzy" not in captured


def test_the_description_lists_the_method(server):
    paths = json.loads(server.ask("GET", "/openapi.json")[2])["paths"]
    for target in ("", "/versions/{version}", "/labels/{label}"):
        assert {"200", "401", "404", "507"} <= set(paths[f"/v1/models/{{name}}{target}:feedback"]["post"]["responses"])


WRITER = """
import sys
from pathlib import Path
from textpipe.serve.engine.feedback_log import FeedbackLog
log = FeedbackLog(Path(sys.argv[1]))
for number in range(60):
    log.append({"writer": sys.argv[2], "number": number, "text": sys.argv[2] * 9000})
"""


def test_lines_of_several_processes_are_never_mixed(log):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(log), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = lines(log)
    assert all(line["text"] == line["writer"] * 9000 for line in found)
    for name in "abc":
        assert [line["number"] for line in found if line["writer"] == name] == list(range(60))


def test_a_line_is_written_completely_or_not_at_all(log, monkeypatch):
    FeedbackLog(log).append({"number": 1})
    before, write = log.read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(feedback_log.os, "write", lambda file, line: write(file, line[:5]))
        with pytest.raises(LogFullError, match="disk"):
            FeedbackLog(log).append({"number": 2})
    assert log.read_bytes() == before
    log.write_bytes(before + b'{"numb')  # the machine lost power
    FeedbackLog(log).append({"number": 3})
    assert log.read_bytes() == before + b'{"numb\n{"number": 3}\n'


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, "disk .* is full"), (errno.EIO, "cannot be written")])
def test_only_a_full_disk_is_called_full(log, monkeypatch, number, kind):
    def fail(file, line):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(feedback_log.os, "write", fail)
    with pytest.raises(ServingError, match=kind) as raised:
        FeedbackLog(log).append({"number": 1})
    assert isinstance(raised.value, LogFullError) == (number == errno.ENOSPC)


def test_a_lock_that_is_kept_does_not_block_for_ever(log, monkeypatch):
    monkeypatch.setattr(feedback_log, "LOCK_SECONDS", 0.0)
    with FeedbackLog(log).open() as file, feedback_log.locked(file), pytest.raises(ServingError, match="lock"):
        FeedbackLog(log).append({})


def test_an_unfit_file_is_refused_before_serving(tmp_path, log):
    (tmp_path / "rows.jsonl").write_text('{"message": "x"}\n')
    (tmp_path / "rows.jsonl").chmod(0o600)
    log.touch(0o644)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, word in (
        (tmp_path, "cannot be written"),
        (tmp_path / "none" / "x.jsonl", "No such file"),
        (tmp_path / "rows.jsonl", "is not a feedback log"),
        (log, "chmod 600"),
        (Path(os.devnull), "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
    ):
        with pytest.raises(ConfigError, match=f"--feedback-log .*{word}"):
            FeedbackLog(path).check()
    log.chmod(0o600)
    FeedbackLog(log).append({"time": "2024-01-08T08:43:00Z", "model": "mail"})
    FeedbackLog(log).check()


def test_the_log_needs_the_rest_api(tmp_path):
    result = CliRunner().invoke(command, [str(tmp_path), "--rest-port=-1", "--feedback-log", str(tmp_path / "x")])
    assert isinstance(result.exception, ConfigError) and "--rest-port" in str(result.exception)


def test_ingest_reads_the_log_back(fresh, tmp_path):
    task = "suggest(subject: text, body: text, recipients: number) -> reply"
    texts = [f"message {number} {text} ." for number, text in enumerate(nasty_strings.NASTY)]
    for number, text in enumerate(texts):
        choice = (feedback(REPLIES[0]), feedback(f"Changed {text}", edited=True), feedback(None))[number % 3]
        assert send(fresh, **{**choice, "inputs": {**ROW, "body": text, "recipients": number}})[0] == 200
    settings = {
        "task": task, "files": [str(fresh.log)], "filter": {"action": ["taken", "edited"]},
        "split": {"valid": 0, "test": 0},
    }  # fmt: skip
    output = tmp_path / "rows"
    output.mkdir()
    ingest.run(ingest.Config(**settings), {}, output)
    rows = [row for batch in shards.read(output, "train") for row in batch.to_pylist()]
    # Every text comes back but for NUL, which ingest leaves out of any file.
    expected = [(text.replace("\0", ""), number) for number, text in enumerate(texts) if number % 3 < 2]
    assert [(row["body"], row["recipients"]) for row in rows] == expected
    replies = [REPLIES[0] if number % 3 == 0 else f"Changed {text}" for text, number in expected]
    assert [row["reply"] for row in rows] == replies


# The page


@pytest.fixture(scope="module")
def browser():
    with chromium.browsing() as page:
        yield page


@pytest.fixture
def page(browser):
    browser.screen(1280, 860)
    browser.problems.clear()
    yield browser
    assert not browser.problems


def inbox(page, server, model, ready="at('pushes').children.length"):
    page.open(f"http://127.0.0.1:{server.rest}/inbox#model={model}")
    page.until(
        f"document.readyState === 'complete' && typeof at === 'function' && at('replies').children.length && ({ready})"
    )


def test_the_pages_load_nothing_else(server):
    for path in ("/", "/inbox"):
        status, headers, body = server.ask("GET", path, headers={"Accept": "text/html"})
        assert status == 200 and headers["content-type"].startswith("text/html")
        assert not any(word in body for word in (b"src=", b"href=", b"http://", b"https://", b"<!-- script"))
        assert "default-src 'none'" in headers["content-security-policy"]
        assert len(body) < 50_000


@needs_chromium
def test_a_reply_is_chosen_and_changed_with_the_keyboard_alone(page, fresh):
    inbox(page, fresh, "triggered")
    assert page.value("[...at('replies').children].map(button => button.textContent)") == REPLIES
    page.value("at('mails').querySelector('[aria-current]').focus()")
    subject = page.value("at('subject').textContent")
    page.press("Tab", 2)  # over the text to the first reply
    page.press("Tab")
    page.press("Enter")
    assert page.value("document.activeElement.id") == "reply"
    assert page.value("at('reply').value") == REPLIES[1]
    page.type(" And you?")
    page.press("Tab")
    page.press("Enter")
    page.until("at('note').textContent.includes('operator')")
    (line,) = lines(fresh.log)
    assert (line["action"], line["reply"], line["subject"]) == ("edited", REPLIES[1] + " And you?", subject)
    assert line["shown"] == REPLIES and line["recipients"] == 1
    assert page.value("document.querySelector('[aria-current] .mark').textContent") == "Taken"


@needs_chromium
def test_not_now_is_logged_and_a_reply_as_suggested_is_taken(page, fresh):
    inbox(page, fresh, "triggered")
    page.value("at('dismiss').click()")
    page.until("at('note').textContent.includes('operator')")
    inbox(page, fresh, "triggered")
    page.value("at('replies').children[2].click(), at('send').click()")
    page.until("at('note').textContent.includes('operator')")
    assert [(line["action"], line["reply"]) for line in lines(fresh.log)] == [("dismissed", ""), ("taken", REPLIES[2])]


@needs_chromium
def test_a_mail_that_does_not_fire_has_no_replies_until_asked(page, fresh):
    inbox(page, fresh, "triggered")
    page.value("[...at('mails').querySelectorAll('button')].at(-1).click()")  # a newsletter
    page.until("!at('anyway').hidden")
    assert page.value("at('replies').children.length") == 0
    share = float(page.value("at('trigger').textContent").split(":")[1].strip(" %"))
    assert share == pytest.approx(100 / (1 + np.exp(4.5)), abs=0.06)
    page.value("at('anyway').click()")
    page.until("at('replies').children.length === 3")
    assert page.value("at('anyway').hidden") and not lines(fresh.log)


@needs_chromium
def test_the_words_that_push_are_those_whose_absence_changes_the_probability_most(page, server):
    inbox(page, server, "triggered")
    row = page.value("row(chosen)")
    without = []
    for field in ("subject", "body"):
        parts = row[field].split()
        without += [(part, {**row, field: " ".join(parts[:at] + parts[at + 1 :])}) for at, part in enumerate(parts)]
    outputs = server.predict("triggered", instances=[row, *(cells for _, cells in without)])["predictions"]
    whole, *others = (output["probability"] for output in outputs)
    changes = {
        word: whole - other for (word, _), other in zip(without, others, strict=True) if abs(whole - other) > 5e-4
    }
    expected = sorted(changes.items(), key=lambda item: -abs(item[1]))[:5]
    found = page.value(
        "[...at('pushes').children].map(item => [item.children[0].textContent, item.children[2].textContent])"
    )
    assert expected and found == [
        [word, f"{'+' if change > 0 else chr(0x2212)}{100 * abs(change):.1f} points"] for word, change in expected
    ]


@needs_chromium
def test_a_model_without_a_trigger_shows_replies_alone(page, server):
    inbox(page, server, "always", ready="true")
    assert page.value("[...at('replies').children].map(button => button.textContent)") == REPLIES
    assert page.value("at('why').hidden && at('anyway').hidden && !at('trigger').textContent")


@needs_chromium
def test_the_page_of_a_model_of_replies_is_the_inbox(page, server):
    page.open(f"http://127.0.0.1:{server.rest}/#model=triggered&text=are+you+free")
    page.until("location.pathname === '/inbox' && typeof chosen === 'object' && chosen")
    assert page.value("chosen.text") == "are you free"
    page.value("at('model').value = 'another', at('model').dispatchEvent(new Event('change'))")
    page.until("location.pathname === '/' && document.readyState === 'complete'")
    page.until("at('model').value === 'another'")


@needs_chromium
def test_without_a_log_the_page_says_so_and_sends_nothing(page, server_without_log):
    inbox(page, server_without_log, "triggered")
    assert "not stored" in page.value("at('privacy').textContent")
    before = server_without_log.ask("GET", "/metrics")[2].decode().count("feedback")
    page.value("at('replies').children[0].click(), at('send').click()")
    assert page.value("at('note').textContent").startswith("Taken")
    inbox(page, server_without_log, "always", ready="true")  # a request would have arrived
    assert server_without_log.ask("GET", "/metrics")[2].decode().count("feedback") == before


@needs_chromium
@pytest.mark.parametrize("size", [(1280, 860), (390, 844)])
def test_every_control_has_a_name_and_fits_the_screen(page, server, size):
    page.screen(*size)
    inbox(page, server, "triggered", ready="true")
    page.value("at('replies').children[0].click()")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node for node in nodes
        if not node["ignored"] and node["role"]["value"] in ("button", "textbox", "combobox", "region", "listitem")
    ]  # fmt: skip
    assert len(controls) > 5
    assert all(node["name"]["value"] for node in controls if node["role"]["value"] != "listitem")
    assert page.value("document.documentElement.scrollWidth") <= size[0]
    heights = page.value(
        "[...document.querySelectorAll('button')].filter(one => one.offsetHeight).map(one => one.offsetHeight)"
    )
    assert min(heights) >= 44
    if size[0] < 500:
        page.until("getComputedStyle(at('back')).display !== 'none'")
        page.value("at('back').click()")
        assert page.value("at('mails').offsetHeight > 0 && !at('subject').offsetHeight")
        page.value("at('mails').querySelectorAll('button')[1].click()")
        assert page.value("document.activeElement.id") == "subject"


# Mailboxes, read by the page


def mails():
    """Mails of many encodings, as Python's email package writes them."""
    for charset, text in (
        ("us-ascii", "Plain text = easy.\nFrom the start."), ("utf-8", "Grüße, 你好 🙂"), ("iso-8859-1", "Déjà vu à Köln"),
        ("koi8-r", "Привет, как дела?"), ("shift_jis", "こんにちは"), ("windows-1252", "“quoted” – €5"),
    ):  # fmt: skip
        for encoding in ("base64", "quoted-printable"):
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = (
                "Ana Ruiz <ana@example.org>",
                "b@example.org, c@example.org",
                text[:20].replace("\n", " "),
            )
            mail.set_content(text + "\n", charset=charset, cte=encoding)
            yield mail, text
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["In-Reply-To"] = "x@example.org", "ü" * 90, "<1@example.org>"
    mail.set_content("The text.\n")
    mail.add_alternative("<p>The <b>page</b>.</p>", subtype="html")
    mail.add_attachment("an attachment", filename="a.txt")
    yield mail, "The text."
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["List-Id"] = "x@example.org", "AW: page alone", "<l.example.org>"
    mail.set_content(
        "<html><style>p {}</style><p>One &amp;\n two<br>three</p><script>no()</script></html>", subtype="html"
    )
    yield mail, "One & two\nthree"


@needs_chromium
def test_the_page_reads_a_mailbox_as_the_email_package_does(page, server, tmp_path):
    inbox(page, server, "always", ready="true")
    box, written = mailbox.mbox(tmp_path / "box.mbox"), list(mails())
    for mail, _ in written:
        box.add(mail)
    box.close()
    page.choose_file("#file", tmp_path / "box.mbox")
    page.until(f"at('listnote').textContent.startsWith('{len(written)} mails')")
    found = page.value("mails")
    assert [mail["text"] for mail in found] == [text for _, text in written]
    assert [mail["subject"] for mail in found] == [mail["Subject"] for mail, _ in written]
    assert [mail["recipients"] for mail in found] == [2] * (len(written) - 2) + [0, 0]
    assert [mail["isReply"] for mail in found][-2:] == [True, True] and not found[0]["isReply"]
    assert [mail["fromList"] for mail in found][-2:] == [False, True]
    (tmp_path / "one.eml").write_bytes(written[3][0].as_bytes())
    (tmp_path / "none.eml").write_bytes(b"\x00\xff no mail")
    page.choose_file("#file", tmp_path / "one.eml")
    page.until("at('listnote').textContent.startsWith('1 mail,')")
    assert page.value("mails[0].text") == written[3][1]
    page.choose_file("#file", tmp_path / "none.eml")
    page.until("at('listnote').textContent.includes('no mail was found')")


@needs_chromium
def test_a_large_mailbox_is_read_from_its_end(page, server):
    inbox(page, server, "always", ready="true")
    path = Path(__file__).parent.parent / "data" / "mail" / "office.mbox"
    page.choose_file("#file", path)
    page.until("at('listnote').textContent.startsWith('The last 500 of 2716 mails')")
    raw = re.split(rb"(?m)^From [^\n]*\n(?=[!-9;-~]+:)", path.read_bytes())[-500:]
    messages = [email.message_from_bytes(part, policy=email.policy.default) for part in raw]
    texts = [message.get_body(("plain",)).get_content().replace("\n>From ", "\nFrom ").strip() for message in messages]
    found = page.value("mails")
    assert sorted(mail["text"] for mail in found) == sorted(texts)
    assert sorted(mail["subject"] for mail in found) == sorted(message["Subject"] or "" for message in messages)


@needs_chromium
def test_a_damaged_mailbox_does_not_break_the_page(page, server):
    inbox(page, server, "always", ready="true")
    damaged = (
        "From x\nSubject: =?utf-8?b?////?= =?none?q?=zz?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b--\n",
        "From x\nSubject: a\nContent-Type: multipart/mixed\n\nx\n", "From x\nSubject: a\nContent-Transfer-Encoding: base64\n\n%%%A\n",
        "Subject: " + "=?utf-8?q?" * 5000 + "\n\nx", "Subject: x\nContent-Type: text/plain; charset=\"no such\"\n\n\u00e9",
        "Subject: x\n" + "Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 200, "", "From \n", "From x\n\n\n",
    )  # fmt: skip
    for raw in damaged:
        assert page.value(f"parseMailbox({json.dumps(raw)}).mails.every(mail => typeof mail.text === 'string')")


@needs_chromium
def test_a_pasted_mail_is_read_with_its_headers(page, server):
    inbox(page, server, "always", ready="true")
    page.value("at('add').click()")
    page.value("at('newtext').focus()")
    page.type(
        "From: Ana <ana@example.org>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nTo: a@b.org, c@d.org\n\nAre you free, Jürgen?"
    )
    page.press("Tab", 2)
    page.press("Enter")
    page.until("at('subject').textContent === 'Grüße' && at('replies').children.length")
    assert page.value("at('body').textContent") == "Are you free, Jürgen?"
    assert page.value("row(chosen).recipients") == 2
    assert page.value("mails.length") == 1  # the examples make room
