"""The folder of models as disks and their owners treat it: rollbacks, moves, what cannot be read, links, odd names."""

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

from textpipe.serve.engine import model_folder as disk
from textpipe.serve.engine import redaction
from textpipe.serve.engine.repository import Repository


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two models, of which one adds 1 and the other 2."""
    root = tmp_path_factory.mktemp("made")
    for amount in (1.0, 2.0):
        module = tf.Module()
        module.weight = tf.Variable(amount)
        module.run = tf.function(
            lambda x: {"y": x + module.weight},
            input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False,
        )  # fmt: skip
        tf.saved_model.save(module, str(root / str(int(amount))), signatures=module.run.get_concrete_function())
    return root


def put(made, amount, place):
    """A copy that appears all at once."""
    shutil.copytree(made / str(amount), place.parent.parent / "copy")
    place.parent.mkdir(parents=True, exist_ok=True)
    os.rename(place.parent.parent / "copy", place)
    return place


def says(server, amount):
    """Whether the model `m` adds this amount; None when it does not answer."""
    status, _, body = server.ask("POST", "/v1/models/m:predict", {"instances": [0.0]})
    return json.loads(body)["predictions"] == [amount] if status == 200 else None


def ready(server):
    return server.ask("GET", "/readyz")[0] == 200


def test_the_version_before_serves_again_when_a_newer_one_is_deleted(tmp_path, made):
    put(made, 1, tmp_path / "m" / "1")
    with running(tmp_path) as server:
        for _ in range(2):
            newer = put(made, 2, tmp_path / "m" / "2")
            until(lambda: states(server, "m").get(1, ("",))[0] == "END")
            assert says(server, 2.0)
            shutil.rmtree(newer)
            until(lambda: says(server, 1.0))
            until(lambda: states(server, "m")[2][0] == "END")
            assert states(server, "m")[1] == ("AVAILABLE", "") and ready(server)


def test_a_model_that_is_moved_away_is_no_longer_waited_for_and_comes_back(tmp_path, made):
    put(made, 1, tmp_path / "models" / "m" / "1")
    put(made, 2, tmp_path / "models" / "other" / "7")
    with running(tmp_path / "models") as server:
        for _ in range(2):
            os.rename(tmp_path / "models" / "m", tmp_path / "away")
            until(lambda: says(server, 1.0) is None)
            until(lambda: ready(server))
            assert [one["name"] for one in json.loads(server.ask("GET", "/models")[2])["models"]] == ["other"]
            os.rename(tmp_path / "away", tmp_path / "models" / "m")
            until(lambda: says(server, 1.0))
            assert ready(server)
        # Without its versions, a folder is no model either.
        shutil.rmtree(tmp_path / "models" / "m" / "1")
        until(lambda: says(server, 1.0) is None)
        until(lambda: ready(server))


def test_a_model_that_never_served_is_waited_for_while_it_is_there(tmp_path, made):
    put(made, 1, tmp_path / "m" / "1")
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"\xff" * 10)
    with running(tmp_path) as server:
        assert not ready(server) and says(server, 1.0)
        shutil.rmtree(tmp_path / "broken")
        until(lambda: ready(server))


# What cannot be read


@pytest.fixture
def unreadable(monkeypatch):
    """Directories whose listing fails with an error of the disk, by name."""
    names, listdir = {}, os.listdir

    def failing(place="."):
        if (code := names.get(os.path.basename(place))) is not None:
            raise OSError(code, os.strerror(code), str(place))
        return listdir(place)

    monkeypatch.setattr(disk.os, "listdir", failing)
    return names


def test_a_server_starts_beside_a_folder_it_cannot_read_and_says_why(tmp_path, made, unreadable):
    put(made, 1, tmp_path / "m" / "1")
    (tmp_path / "lost+found").mkdir()
    unreadable["lost+found"] = errno.EACCES
    with running(tmp_path) as server:
        assert says(server, 1.0) and ready(server)
        (state, why), = states(server, "lost+found").values()  # fmt: skip
        assert (state, why) == ("END", "the model's folder cannot be read (Permission denied)")
        # It is told over gRPC too, and as soon as it can be read, nothing is left of it.
        with grpc.insecure_channel(server.grpc) as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "lost+found"
            told = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)
            assert "Permission denied" in told.model_version_status[0].status.error_message
        unreadable.clear()
        until(lambda: not states(server, "lost+found"))


def test_a_folder_that_becomes_unreadable_stops_no_model(tmp_path, made, unreadable, caplog):
    put(made, 1, tmp_path / "m" / "1")
    put(made, 1, tmp_path / "other" / "1")
    with running(tmp_path) as server:
        unreadable["m"] = errno.EIO
        until(lambda: "Input/output error" in states(server, "m")[1][1])
        assert states(server, "m")[1][0] == "AVAILABLE" and says(server, 1.0) and ready(server)
        put(made, 2, tmp_path / "other" / "2")
        until(lambda: states(server, "other").get(2, ("",))[0] == "AVAILABLE")
        unreadable[tmp_path.name] = errno.ESTALE
        until(lambda: any("folder of models cannot be read" in line for line in caplog.messages))
        assert says(server, 1.0)
        unreadable.clear()
        put(made, 2, tmp_path / "m" / "2")
        until(lambda: says(server, 2.0))
        assert states(server, "m")[2] == ("AVAILABLE", "")
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info for record in said] == [None] * 2  # one line for each change, however often was looked


def test_a_file_where_a_folder_was_stops_no_model(tmp_path, made):
    put(made, 1, tmp_path / "m" / "1")
    put(made, 1, tmp_path / "other" / "1")
    (tmp_path / "other" / "4").write_text("no folder")
    (tmp_path / "notes.txt").write_text("no model")
    with running(tmp_path) as server:
        assert states(server, "other") == {
            4: ("END", "is a file where a version's folder was expected"), 1: ("AVAILABLE", ""),
        }  # fmt: skip
        assert states(server, "notes.txt") == {}
        os.rename(tmp_path / "m", tmp_path / ".away")
        (tmp_path / "m").write_text("no folder")
        until(lambda: "replaced" in states(server, "m")[1][1] or not says(server, 1.0))
        (tmp_path / "m").unlink()
        os.rename(tmp_path / ".away", tmp_path / "m")
        put(made, 2, tmp_path / "m" / "2")
        until(lambda: says(server, 2.0))


def test_a_version_that_cannot_be_read_says_why_and_is_tried_again(tmp_path, made, unreadable):
    put(made, 1, tmp_path / "m" / "1")
    put(made, 2, tmp_path / "m" / "2")
    unreadable["2"] = errno.EACCES
    with running(tmp_path) as server:
        assert states(server, "m")[2] == ("END", "cannot be read (Permission denied)")
        unreadable.clear()
        until(lambda: says(server, 2.0))


# Links


@pytest.mark.parametrize(
    "what", ["saved_model.pb", "variables", "variables/variables.index", "assets", "assets/deep/words.txt"]
)
def test_a_version_with_a_link_that_leads_out_is_refused(tmp_path, made, what):
    place = put(made, 1, tmp_path / "models" / "m" / "1")
    (place / "assets" / "deep").mkdir(parents=True, exist_ok=True)
    (place / "assets" / "deep" / "words.txt").write_text("a")
    outside = tmp_path / "outside"
    os.rename(place / what, outside)
    (place / what).symlink_to(outside)
    put(made, 2, tmp_path / "models" / "other" / "1")
    with running(tmp_path / "models") as server:
        assert states(server, "m") == {
            1: ("END", f"{what}: is a link that leads out of the model's folder; put a copy in its place")
        }
        assert says(server, 1.0) is None
        (place / what).unlink()
        os.rename(outside, place / what)
        until(lambda: says(server, 1.0))


def test_links_within_a_model_and_between_versions_are_followed(tmp_path, made):
    place = put(made, 1, tmp_path / "m" / "1")
    os.rename(place / "variables", tmp_path / "m" / "shared")
    (place / "variables").symlink_to("../shared")
    (place / "assets" / "round").symlink_to("..")  # a circle is walked once
    put(made, 2, tmp_path / "store" / "1")
    (tmp_path / "m" / "2").symlink_to("../store/1")
    with running(tmp_path) as server:
        assert says(server, 2.0)
        (tmp_path / "m" / "2").unlink()
        until(lambda: says(server, 1.0))


def test_what_is_neither_a_file_nor_a_folder_is_not_opened(tmp_path, made):
    place = put(made, 1, tmp_path / "m" / "1")
    os.mkfifo(place / "textpipe.json")
    with running(tmp_path) as server:
        assert states(server, "m")[1] == ("END", "textpipe.json: is neither a file nor a folder")


# Names


def test_versions_are_int64_and_other_numbers_are_no_versions(tmp_path, made):
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
    listing = disk.scan(tmp_path)["m"]
    assert sorted(listing.versions) == [7, 2**63 - 1] and not listing.errors
    (tmp_path / "m" / "7").mkdir()
    (tmp_path / "m" / "7" / "saved_model.pb").touch()
    assert disk.scan(tmp_path)["m"].versions[7].name == "7"  # of two names of a number, the plain one


def test_names_that_nobody_can_say_are_no_models(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/m\xff/1")
    assert disk.scan(tmp_path) == {}


# What is told


SECRET = re.compile(r"(?<![\w.:/])/(?!v1/)\w+/\w")


def test_no_message_says_where_things_lie(tmp_path, made, classifier):
    root = tmp_path / "models"
    mail = classifier["export"] / "model"
    for number, name in enumerate(("variables", "saved_model.pb", "manifest.json", "textpipe.json"), 1):
        shutil.copytree(mail, root / f"without{number}" / "1")
        gone = root / f"without{number}" / "1" / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    shutil.copytree(mail, root / "folder" / "1")
    (root / "folder" / "1" / "textpipe.json").unlink()
    (root / "folder" / "1" / "textpipe.json").mkdir()
    bare = put(made, 1, root / "bare" / "1")
    shutil.rmtree(bare / "variables")
    golden = root / "golden" / "1"
    shutil.copytree(mail, golden)
    (golden / "manifest.json").write_text("{")
    put(made, 1, root / "m" / "1")
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
                for verb in ("predict", "classify", "regress", "stream"):
                    bodies.append(server.ask("POST", f"/v1/models/{model}:{verb}", body)[2].decode())
        for path in ("/models", "/metrics", "/readyz", "/healthz", "/nothing"):
            bodies.append(server.ask("GET", path)[2].decode())
            bodies.append(server.ask("POST", path, "x")[2].decode())
        assert sum("error_message" in body for body in bodies) > 8
        for body in bodies:
            assert not SECRET.search(body) and str(tmp_path) not in body, body


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/srv/models/mail/3/variables/variables.index: is missing", "mail/3/variables/variables.index: is missing"),
        ("/opt/x/lib.so: undefined symbol; see /var/log/x.", "lib.so: undefined symbol; see x."),
        ('File "/usr/lib/python3/site.py", line 3', 'File "site.py", line 3'),
        ("cannot open file:///etc/secret", "cannot open secret"),
        ("1/2 and https://example.org/a/b stay", "1/2 and https://example.org/a/b stay"),
    ],
)
def test_messages_lose_their_paths(tmp_path, said, told):
    assert redaction.without_paths(said, disk.Path("/srv/models")) == told


def test_a_callers_own_words_are_left_as_they_are():
    said = "could not convert /a/b/c to a number, said /srv/models/m/1/saved_model.pb"
    told = "could not convert /a/b/c to a number, said m/1/saved_model.pb"
    assert redaction.without_roots(said, disk.Path("/srv/models")) == told


def test_a_look_never_raises(tmp_path, monkeypatch, caplog):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").touch()
    repository = Repository(tmp_path)
    monkeypatch.setattr(repository, "bring", lambda *_: 1 / 0)
    for _ in range(3):
        repository.look()
    assert [line for line in caplog.messages if "ZeroDivisionError" in line] == [
        "m: cannot be looked at (ZeroDivisionError: division by zero)"
    ]
