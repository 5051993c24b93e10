"""Changes and errors in the folder of models: rollbacks, moves, unreadable folders, links, odd names."""

import errno
import json
import logging
import os
import re
import shutil

import grpc
import pytest
import tensorflow as tf
from serving_server import running, states, until
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from textpipe.serve.engine import model_folder, redaction
from textpipe.serve.engine.repository import Repository


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two models: one adds 1, the other 2."""
    root = tmp_path_factory.mktemp("exports")
    for amount in (1.0, 2.0):
        module = tf.Module()
        module.weight = tf.Variable(amount)
        module.run = tf.function(
            lambda x: {"y": x + module.weight},
            input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False,
        )  # fmt: skip
        tf.saved_model.save(module, str(root / str(int(amount))), signatures=module.run.get_concrete_function())
    return root


def publish(exports, amount, path):
    """Copies a model to a path atomically."""
    shutil.copytree(exports / str(amount), path.parent.parent / "copy")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path.parent.parent / "copy", path)
    return path


def adds(server, amount):
    """Whether the model `m` adds this amount; None when it does not serve."""
    status, _, body = server.ask("POST", "/v1/models/m:predict", {"instances": [0.0]})
    return json.loads(body)["predictions"] == [amount] if status == 200 else None


def ready(server):
    return server.ask("GET", "/readyz")[0] == 200


def test_the_version_before_serves_again_when_a_newer_one_is_deleted(tmp_path, exports):
    publish(exports, 1, tmp_path / "m" / "1")
    with running(tmp_path) as server:
        for _ in range(2):
            newer = publish(exports, 2, tmp_path / "m" / "2")
            until(lambda: states(server, "m").get(1, ("",))[0] == "END")
            assert adds(server, 2.0)
            shutil.rmtree(newer)
            until(lambda: adds(server, 1.0))
            until(lambda: states(server, "m")[2][0] == "END")
            assert states(server, "m")[1] == ("AVAILABLE", "") and ready(server)


def test_a_model_that_is_moved_away_does_not_block_readiness_and_can_come_back(tmp_path, exports):
    publish(exports, 1, tmp_path / "models" / "m" / "1")
    publish(exports, 2, tmp_path / "models" / "other" / "7")
    with running(tmp_path / "models") as server:
        for _ in range(2):
            os.rename(tmp_path / "models" / "m", tmp_path / "away")
            until(lambda: adds(server, 1.0) is None)
            until(lambda: ready(server))
            assert [model["name"] for model in json.loads(server.ask("GET", "/models")[2])["models"]] == ["other"]
            os.rename(tmp_path / "away", tmp_path / "models" / "m")
            until(lambda: adds(server, 1.0))
            assert ready(server)
        # A folder without versions is not a model.
        shutil.rmtree(tmp_path / "models" / "m" / "1")
        until(lambda: adds(server, 1.0) is None)
        until(lambda: ready(server))


def test_a_model_that_never_served_blocks_readiness_while_its_folder_exists(tmp_path, exports):
    publish(exports, 1, tmp_path / "m" / "1")
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"\xff" * 10)
    with running(tmp_path) as server:
        assert not ready(server) and adds(server, 1.0)
        shutil.rmtree(tmp_path / "broken")
        until(lambda: ready(server))


# Unreadable folders


@pytest.fixture
def unreadable(monkeypatch):
    """{name: errno} of directories that cannot be listed."""
    names, listdir = {}, os.listdir

    def failing(path="."):
        if (code := names.get(os.path.basename(path))) is not None:
            raise OSError(code, os.strerror(code), str(path))
        return listdir(path)

    monkeypatch.setattr(model_folder.os, "listdir", failing)
    return names


def test_an_unreadable_folder_does_not_stop_the_server_and_is_reported(tmp_path, exports, unreadable):
    publish(exports, 1, tmp_path / "m" / "1")
    (tmp_path / "lost+found").mkdir()
    unreadable["lost+found"] = errno.EACCES
    with running(tmp_path) as server:
        assert adds(server, 1.0) and ready(server)
        (state, error), = states(server, "lost+found").values()  # fmt: skip
        assert (state, error) == ("END", "the model's folder cannot be read (Permission denied)")
        # gRPC reports it too; once the folder can be read, the error disappears.
        with grpc.insecure_channel(server.grpc) as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "lost+found"
            status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)
            assert "Permission denied" in status.model_version_status[0].status.error_message
        unreadable.clear()
        until(lambda: not states(server, "lost+found"))


def test_loaded_models_keep_serving_when_a_folder_becomes_unreadable(tmp_path, exports, unreadable, caplog):
    publish(exports, 1, tmp_path / "m" / "1")
    publish(exports, 1, tmp_path / "other" / "1")
    with running(tmp_path) as server:
        unreadable["m"] = errno.EIO
        until(lambda: "Input/output error" in states(server, "m")[1][1])
        assert states(server, "m")[1][0] == "AVAILABLE" and adds(server, 1.0) and ready(server)
        publish(exports, 2, tmp_path / "other" / "2")
        until(lambda: states(server, "other").get(2, ("",))[0] == "AVAILABLE")
        unreadable[tmp_path.name] = errno.ESTALE
        until(lambda: any("folder of models cannot be read" in line for line in caplog.messages))
        assert adds(server, 1.0)
        unreadable.clear()
        publish(exports, 2, tmp_path / "m" / "2")
        until(lambda: adds(server, 2.0))
        assert states(server, "m")[2] == ("AVAILABLE", "")
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info for record in errors] == [None] * 2  # one line per change, not per poll


def test_loaded_models_keep_serving_when_a_file_replaces_a_folder(tmp_path, exports):
    publish(exports, 1, tmp_path / "m" / "1")
    publish(exports, 1, tmp_path / "other" / "1")
    (tmp_path / "other" / "4").write_text("no folder")
    (tmp_path / "notes.txt").write_text("no model")
    with running(tmp_path) as server:
        assert states(server, "other") == {
            4: ("END", "is a file where a version's folder was expected"), 1: ("AVAILABLE", ""),
        }  # fmt: skip
        assert states(server, "notes.txt") == {}
        os.rename(tmp_path / "m", tmp_path / ".away")
        (tmp_path / "m").write_text("no folder")
        until(lambda: "replaced" in states(server, "m")[1][1] or not adds(server, 1.0))
        (tmp_path / "m").unlink()
        os.rename(tmp_path / ".away", tmp_path / "m")
        publish(exports, 2, tmp_path / "m" / "2")
        until(lambda: adds(server, 2.0))


def test_an_unreadable_version_is_reported_and_tried_again(tmp_path, exports, unreadable):
    publish(exports, 1, tmp_path / "m" / "1")
    publish(exports, 2, tmp_path / "m" / "2")
    unreadable["2"] = errno.EACCES
    with running(tmp_path) as server:
        assert states(server, "m")[2] == ("END", "cannot be read (Permission denied)")
        unreadable.clear()
        until(lambda: adds(server, 2.0))


# Links


@pytest.mark.parametrize(
    "what", ["saved_model.pb", "variables", "variables/variables.index", "assets", "assets/deep/words.txt"]
)
def test_a_version_with_a_link_that_points_outside_is_refused(tmp_path, exports, what):
    version = publish(exports, 1, tmp_path / "models" / "m" / "1")
    (version / "assets" / "deep").mkdir(parents=True, exist_ok=True)
    (version / "assets" / "deep" / "words.txt").write_text("a")
    outside = tmp_path / "outside"
    os.rename(version / what, outside)
    (version / what).symlink_to(outside)
    publish(exports, 2, tmp_path / "models" / "other" / "1")
    with running(tmp_path / "models") as server:
        assert states(server, "m") == {
            1: ("END", f"{what}: is a link that points outside the model's folder; put a copy in its place")
        }
        assert adds(server, 1.0) is None
        (version / what).unlink()
        os.rename(outside, version / what)
        until(lambda: adds(server, 1.0))


def test_links_within_a_model_and_between_versions_are_followed(tmp_path, exports):
    version = publish(exports, 1, tmp_path / "m" / "1")
    os.rename(version / "variables", tmp_path / "m" / "shared")
    (version / "variables").symlink_to("../shared")
    (version / "assets" / "round").symlink_to("..")  # a cycle is walked once
    publish(exports, 2, tmp_path / "store" / "1")
    (tmp_path / "m" / "2").symlink_to("../store/1")
    with running(tmp_path) as server:
        assert adds(server, 2.0)
        (tmp_path / "m" / "2").unlink()
        until(lambda: adds(server, 1.0))


def test_a_fifo_is_not_opened(tmp_path, exports):
    version = publish(exports, 1, tmp_path / "m" / "1")
    os.mkfifo(version / "textpipe.json")
    with running(tmp_path) as server:
        assert states(server, "m")[1] == ("END", "textpipe.json: is neither a file nor a folder")


# Names


def test_only_int64_numbers_are_versions(tmp_path, exports):
    for name in (
        "9223372036854775808",
        "1" * 200,
        "１２",
        "-1",
        "+1",
        "1.0",
        "0x1",
        " 1",
        "007",
        "9223372036854775807",
    ):
        (tmp_path / "m" / name).mkdir(parents=True)
        (tmp_path / "m" / name / "saved_model.pb").touch()
    listing = model_folder.scan(tmp_path)["m"]
    assert sorted(listing.versions) == [7, 2**63 - 1] and not listing.errors
    (tmp_path / "m" / "7").mkdir()
    (tmp_path / "m" / "7" / "saved_model.pb").touch()
    assert model_folder.scan(tmp_path)["m"].versions[7].name == "7"  # of 7 and 007, the shorter name


def test_names_that_are_not_utf8_are_not_models(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/m\xff/1")
    assert model_folder.scan(tmp_path) == {}


# Messages


SECRET = re.compile(r"(?<![\w.:/])/(?!v1/)\w+/\w")


def test_no_message_reveals_paths(tmp_path, exports, classifier):
    root = tmp_path / "models"
    mail = classifier["export"] / "model"
    for number, name in enumerate(("variables", "saved_model.pb", "manifest.json", "textpipe.json"), 1):
        shutil.copytree(mail, root / f"without{number}" / "1")
        file = root / f"without{number}" / "1" / name
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.copytree(mail, root / "folder" / "1")
    (root / "folder" / "1" / "textpipe.json").unlink()
    (root / "folder" / "1" / "textpipe.json").mkdir()
    bare = publish(exports, 1, root / "bare" / "1")
    shutil.rmtree(bare / "variables")
    golden = root / "golden" / "1"
    shutil.copytree(mail, golden)
    (golden / "manifest.json").write_text("{")
    publish(exports, 1, root / "m" / "1")
    with running(root) as server:
        bodies = []
        for model in (*os.listdir(root), "none"):
            for path in ("", "/metadata", "/versions/1", "/versions/9", "/labels/x"):
                bodies.append(server.ask("GET", f"/v1/models/{model}{path}")[2].decode())
            for body in (
                "{",
                "[]",
                "{}",
                '{"instances": []}',
                '{"instances": ["x"]}',
                '{"instances": [[[1.0]], [1.0]]}',
            ):
                for method in ("predict", "classify", "regress", "stream"):
                    bodies.append(server.ask("POST", f"/v1/models/{model}:{method}", body)[2].decode())
        for path in ("/models", "/metrics", "/readyz", "/healthz", "/nothing"):
            bodies.append(server.ask("GET", path)[2].decode())
            bodies.append(server.ask("POST", path, "x")[2].decode())
        assert sum("error_message" in body for body in bodies) > 8
        for body in bodies:
            assert not SECRET.search(body) and str(tmp_path) not in body, body


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("/srv/models/mail/3/variables/variables.index: is missing", "mail/3/variables/variables.index: is missing"),
        ("/opt/x/lib.so: undefined symbol; see /var/log/x.", "lib.so: undefined symbol; see x."),
        ('File "/usr/lib/python3/site.py", line 3', 'File "site.py", line 3'),
        ("cannot open file:///etc/secret", "cannot open secret"),
        ("1/2 and https://example.org/a/b stay", "1/2 and https://example.org/a/b stay"),
    ],
)
def test_messages_lose_their_paths(tmp_path, message, redacted):
    assert redaction.without_paths(message, model_folder.Path("/srv/models")) == redacted


def test_a_clients_own_text_is_not_redacted():
    message = "could not convert /a/b/c to a number, said /srv/models/m/1/saved_model.pb"
    redacted = "could not convert /a/b/c to a number, said m/1/saved_model.pb"
    assert redaction.without_roots(message, model_folder.Path("/srv/models")) == redacted


def test_refresh_never_raises(tmp_path, monkeypatch, caplog):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").touch()
    repository = Repository(tmp_path)
    monkeypatch.setattr(repository, "load", lambda *_: 1 / 0)
    for _ in range(3):
        repository.refresh()
    assert [line for line in caplog.messages if "ZeroDivisionError" in line] == [
        "m: cannot be read (ZeroDivisionError: division by zero)"
    ]
