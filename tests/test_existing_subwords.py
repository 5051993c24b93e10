"""The subwords of another run: the same ids, a cache that sees a changed file, and files that do not fit."""

import json
import shutil

import pytest
import sentencepiece
import tiny
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from textpipe.config.sections import Plugin
from textpipe.errors import ArtifactError, ConfigError
from textpipe.pipeline import runner
from textpipe.text import existing_subwords, subwords, vectorizer

LINES = ["could you send the report", "thank you for the plan", "the slides are late again, sorry"] * 20


def learned(folder, name="joint", kind="unigram", **options):
    folder.mkdir(exist_ok=True)
    config = Plugin.check("text.codecs", {"kind": kind, "vocab_size": 320})
    subwords.learn(config, lambda: LINES, folder, name, model_type=kind, seed=1, **options)
    return folder / f"{name}.model"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return learned(tmp_path_factory.mktemp("learned"))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_pieces_are_those_of_the_other_run(tmp_path, kind):
    other = learned(tmp_path / "other", kind=kind)
    config = Plugin.check("text.codecs", {"kind": kind, "model": str(other)})
    subwords.learn(config, lambda: ["other texts"], tmp_path, "joint", model_type=kind, seed=1)
    first, second = (
        sentencepiece.SentencePieceProcessor(model_file=str(path)) for path in (other, tmp_path / "joint.model")
    )
    assert [first.id_to_piece(number) for number in range(len(first))] == [
        second.id_to_piece(number) for number in range(len(second))
    ]
    assert [first.encode(line) for line in LINES[:3]] == [second.encode(line) for line in LINES[:3]]


def test_a_reserved_token_of_the_other_run_stays_one_where_it_is_reserved_and_else_comes_from_no_text(tmp_path):
    other = learned(tmp_path / "other", reserved=["<BT>"])
    for reserved in (["<BT>"], []):
        data = existing_subwords.read(str(other), "joint", kind="unigram", reserved=reserved)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        ids = processor.encode("<BT> the plan")
        assert ("▁<BT>" in processor.id_to_piece(ids)) == bool(reserved)
        assert processor.decode(ids) == "<BT> the plan"
        assert "▁<BT>" in [piece.piece for piece in ModelProto.FromString(data).pieces]
    (tmp_path / "unused.model").write_bytes(data)
    assert (
        existing_subwords.read(str(tmp_path / "unused.model"), "", kind="unigram", reserved=["<BT>"])
        == other.read_bytes()
    )
    with pytest.raises(ConfigError, match="has no piece '<FT>'; leave tag out"):
        existing_subwords.read(str(other), "joint", kind="unigram", reserved=["<FT>"])


def test_a_pipeline_continues_with_the_subwords_of_a_results_folder_or_of_a_pipelines_latest(tmp_path):
    rows = tmp_path / "rows.tsv"
    tiny.generator_rows(rows)
    store = tmp_path / "artifacts"

    def tokenized(name, codec):
        tables = {**tiny.GENERATOR, "ingest": {"files": str(rows)}, "tokenize": {"codec": codec}}
        pipeline = runner.Pipeline.from_tables(tmp_path / f"{name}.toml", tables)
        return runner.run(pipeline, until="tokenize", artifacts=store).artifacts["tokenize"].path

    first = tokenized("first", {"kind": "unigram", "vocab_size": 300})
    for number, model in enumerate((store / "latest" / "first", first, first / "joint.model")):
        again = tokenized(f"again{number}", {"kind": "unigram", "model": str(model)})
        assert (again / "joint.model").read_bytes() == existing_subwords.read(str(first), "joint", kind="unigram")
        stats = json.loads((again / "stats.json").read_text())
        assert stats["vocabularies"] == {"joint": {"vocab_size": 300, "asked": 300, "reduced": False}}
        assert vectorizer.load_codec(again, "source").vocab_size == 300
    copy = tmp_path / "copy.model"
    shutil.copy(first / "joint.model", copy)
    before = tokenized("copied", {"kind": "unigram", "model": str(copy)})
    new = learned(tmp_path / "new")
    copy.write_bytes(new.read_bytes())
    after = tokenized("copied", {"kind": "unigram", "model": str(copy)})
    assert before != after and (after / "joint.model").read_bytes() == existing_subwords.read(
        str(new), "", kind="unigram"
    )


def test_of_separate_vocabularies_each_field_takes_its_own(tmp_path):
    for name in ("source", "target"):
        learned(tmp_path, name)
    assert existing_subwords.find(str(tmp_path), "target") == tmp_path / "target.model"
    with pytest.raises(
        ConfigError, match="expected a vocabulary 'joint', found 'source', 'target'; set vocabulary as in"
    ):
        existing_subwords.find(str(tmp_path), "joint")


def changed(model, path, **options):
    proto = ModelProto.FromString(model.read_bytes())
    for name, value in options.items():
        setattr(proto.normalizer_spec if name in ("name", "add_dummy_prefix") else proto.trainer_spec, name, value)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pad_id": -1, "unk_id": 0, "bos_id": 1, "eos_id": 2},
            r"expected pad, unk, bos and eos \(0, 1, 2, 3\), found \(-1, 0, 1, 2\)",
        ),
        ({"byte_fallback": False}, "expected byte_fallback True, found False"),
        ({"name": "nmt_nfkc"}, "expected normalization_rule_name identity, found nmt_nfkc"),
        ({"add_dummy_prefix": False}, "expected add_dummy_prefix True, found False"),
        ({"model_type": 2}, "expected kind unigram, found bpe"),
    ],
)
def test_a_model_learned_with_other_options_is_refused(model, tmp_path, options, message):
    path = changed(model, tmp_path / "changed.model", **options)
    with pytest.raises(ConfigError, match=message):
        existing_subwords.read(str(path), "joint", kind="unigram")


def test_what_is_no_model_is_named(model, tmp_path):
    (tmp_path / "text.model").write_text("no model")
    (tmp_path / "cut.model").write_bytes(model.read_bytes()[:-40])
    (tmp_path / "empty.model").touch()
    for name in ("text", "cut", "empty"):
        with pytest.raises(ConfigError, match=rf"{name}\.model: is not a SentencePiece model; name a file NAME\.model"):
            existing_subwords.read(str(tmp_path / f"{name}.model"), "joint", kind="unigram")
    exported = tmp_path / "saved" / "1"
    exported.mkdir(parents=True)
    (exported / "saved_model.pb").touch()
    for name, text in (("damaged", "{}"), ("nested", "[" * 100_000), ("gone", '{"path": "1234"}')):
        (tmp_path / "latest" / name).mkdir(parents=True)
        (tmp_path / "latest" / name / "tokenize.json").write_text(text)
    latest = tmp_path / "latest"
    links = tmp_path / "links"
    (links / "folder.model").mkdir(parents=True)
    (links / "dangling.model").symlink_to("absent")
    (links / "loop.model").symlink_to("loop.model")
    for path, message in (
        (tmp_path / "absent", "no such file or folder"),
        (tmp_path / "saved", "found an exported model, whose subwords are inside its graph"),
        (exported, "found an exported model"),
        (latest / "damaged", "damaged/tokenize.json: is damaged; run that pipeline again"),
        (latest / "nested", "nested/tokenize.json: is damaged; run that pipeline again"),
        (latest / "gone", "its result .*tokenize/1234 no longer exists; run that pipeline again"),
        (latest, "found no .model file in it"),
        (links, "found no .model file in it"),
        (links / "loop.model", "no such file or folder"),
        ("\0", "cannot be read|no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            existing_subwords.locate(str(path))


def test_a_damaged_result_is_set_aside_in_place_of_giving_other_subwords(tmp_path):
    rows = tmp_path / "rows.tsv"
    tiny.generator_rows(rows)
    pipeline = runner.Pipeline.from_tables(tmp_path / "first.toml", {**tiny.GENERATOR, "ingest": {"files": str(rows)}})
    result = runner.run(pipeline, until="tokenize", artifacts=tmp_path / "artifacts").artifacts["tokenize"].path
    file = result / "joint.model"
    file.write_bytes(file.read_bytes().replace("▁is".encode(), "▁io".encode(), 1))
    with pytest.raises(ArtifactError, match=r"joint\.model.*set aside as .*; run its pipeline again"):
        existing_subwords.read(str(tmp_path / "artifacts" / "latest" / "first"), "joint", kind="unigram")
    assert not result.exists()


def test_settings_without_an_effect_are_refused():
    with pytest.raises(ValueError, match="so vocab_size has no effect; leave out one or the other"):
        Plugin.check("text.codecs", {"kind": "unigram", "vocab_size": 300, "model": "a.model"})
    with pytest.raises(ValueError, match="model"):
        Plugin.check("text.codecs", {"kind": "unigram", "model": ""})
    Plugin.check("text.codecs", {"kind": "unigram", "vocab_size": 8000, "model": "a.model"})
