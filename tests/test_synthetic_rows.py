"""[ingest.synthetic]: rows that are added to train, and the tag that no other text can have."""

import json

import pytest
import tensorflow as tf
import tiny

from textpipe.config import plugins
from textpipe.config import sections as config
from textpipe.config.sections import Plugin
from textpipe.data import shards
from textpipe.errors import ConfigError, DataError
from textpipe.pipeline import runner
from textpipe.stages import _ingest_synthetic
from textpipe.text import reserved, vectorizer
from textpipe.text.normalizer import Normalizer
from textpipe.text.sentencepiece_model import Pieces

TAG = "<BT>"
REAL = [("the house 1 is red", "das Haus 1 ist rot"), ("the dog 2 is old", "das Tier 2 ist alt")]
MORE = [(f"a new thing {number}", f"ein neues Ding {number}") for number in range(40)]


def write_rows(path, rows, columns=("source", "target")):
    path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def ingest(folder, synthetic, **options):
    """ingest's output for 8 real rows, one each in valid and test, and synthetic ones."""
    real = [(f"the cat {number} sleeps", f"die Katze {number} schläft") for number in range(8)]
    files = {
        "train": write_rows(folder / "train.jsonl", real),
        "valid": write_rows(folder / "valid.jsonl", REAL[:1]),
        "test": write_rows(folder / "test.jsonl", REAL[1:]),
    }
    module = plugins.find("stages", "ingest")
    table = {"files": files, "synthetic": synthetic, **options}
    section = config.check("p.toml", {"ingest": module.Config}, {"task": "translate", "ingest": table})["ingest"]
    output = folder / "out"
    output.mkdir()
    module.run(section, {}, output)
    return output, json.loads((output / "stats.json").read_text(encoding="utf-8"))


def rows_of(output, split="train"):
    return [row for batch in shards.read(output, split) for row in batch.to_pylist()]


def test_rows_are_added_to_train_alone_after_the_real_ones(tmp_path):
    output, stats = ingest(tmp_path, {"files": write_rows(tmp_path / "bt.jsonl", MORE)})
    rows = rows_of(output)
    assert [row["target"] for row in rows[8:]] == [target for _, target in MORE]
    assert [row["row"] for row in rows] == list(range(48)), "row numbers go on"
    assert len(rows_of(output, "valid")) == len(rows_of(output, "test")) == 1
    assert stats["splits"]["train"]["rows"] == 48 and stats["synthetic"]["rows"] == 40
    assert reserved.read(output) is None
    assert "8 real rows and 40 synthetic ones" in plugins.find("stages", "ingest").summary(output)


def test_rows_of_valid_and_test_are_left_out_by_source_and_by_target(tmp_path):
    leaks = [("The House 1 is red!", "x"), ("y", "DAS TIER 2, ist alt")]
    output, stats = ingest(tmp_path, {"files": write_rows(tmp_path / "bt.jsonl", [*leaks, *MORE])})
    assert stats["synthetic"]["held_out"] == 2 and len(rows_of(output)) == 48


def test_the_ratio_counts_real_rows_and_chooses_by_a_hash_of_the_row(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, stats = ingest(tmp_path / "a", {"files": write_rows(tmp_path / "bt.jsonl", MORE), "ratio": 1.5})
    other, _ = ingest(tmp_path / "b", {"files": write_rows(tmp_path / "tb.jsonl", MORE[::-1]), "ratio": 1.5})
    chosen = {row["target"] for row in rows_of(one)[8:]}
    assert len(chosen) == 12 == stats["synthetic"]["rows"]
    assert chosen == {row["target"] for row in rows_of(other)[8:]} and chosen != {target for _, target in MORE[:12]}


def test_equal_rows_do_not_exceed_the_ratio_and_too_few_are_reported(tmp_path, caplog):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    same = write_rows(tmp_path / "same.jsonl", MORE[:1] * 30)
    assert len(rows_of(ingest(tmp_path / "a", {"files": same, "ratio": 1})[0])) == 16
    assert len(rows_of(ingest(tmp_path / "b", {"files": same}, drop_duplicates=True)[0])) == 9
    assert len(rows_of(ingest(tmp_path / "c", {"files": write_rows(tmp_path / "d.jsonl", MORE), "ratio": 9})[0])) == 48
    assert "72, and only 40 are there" in caplog.text


@pytest.mark.parametrize(("repeat", "real"), [(0, 0), (1, 8), (3, 24)])
def test_real_rows_are_repeated_or_left_out(tmp_path, repeat, real):
    output, stats = ingest(tmp_path, {"files": write_rows(tmp_path / "bt.jsonl", MORE), "repeat": repeat, "tag": TAG})
    rows = rows_of(output)
    assert sum("Katze" in row["target"] for row in rows) == real and len(rows) == real + 40
    assert stats["splits"]["train"]["rows"] == real + 40
    tag = reserved.read(output)
    assert tag == reserved.Tag(TAG, "source", repeat)
    tagged = list(shards.read(output, "train", number=tag.first_shard))
    assert tagged[0].num_rows == 40, "synthetic rows have shards of their own"


def test_columns_and_format_are_those_of_the_synthetic_files_and_kept_columns_are_empty(tmp_path):
    file = tmp_path / "bt.rows"
    write_rows(file, [(*row, "who") for row in MORE], ("en", "de", "by"))
    with pytest.raises(DataError, match="format cannot be inferred"):
        (tmp_path / "a").mkdir()
        ingest(tmp_path / "a", {"files": str(file), "format": None})
    synthetic = {"files": [str(file)], "format": "jsonl", "columns": {"source": "en", "target": "de"}}
    for split, rows in (("train", [("a", "b")] * 2), ("valid", REAL[:1]), ("test", REAL[1:])):
        write_rows(tmp_path / f"{split}.jsonl", [(*row, "me") for row in rows], ("source", "target", "by"))
    module = plugins.find("stages", "ingest")
    files = {split: str(tmp_path / f"{split}.jsonl") for split in shards.SPLITS}
    section = module.Config(task="translate", files=files, keep=["by"], synthetic=synthetic)
    output = tmp_path / "kept"
    output.mkdir()
    module.run(section, {}, output)
    assert [row["by"] for row in rows_of(output)] == ["me"] * 2 + [""] * 40


def test_many_rows_fill_several_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 16)
    output, _ = ingest(tmp_path, {"files": write_rows(tmp_path / "bt.jsonl", MORE)})
    assert [row["target"] for row in rows_of(output)[8:]] == [target for _, target in MORE]
    assert len(shards.paths(output, "train")) == 4


@pytest.mark.parametrize(
    ("synthetic", "message"),
    [
        ({"files": []}, "files: is empty"),
        ({"files": "x.jsonl", "tag": "B T"}, "without spaces"),
        ({"files": "x.jsonl", "tag": "▁x"}, "without spaces"),
        ({"files": "x.jsonl", "columns": {"sourc": "en"}}, "synthetic.columns.sourc"),
        ({"files": "x.jsonl", "ratio": 0}, "ratio"),
        ({"files": "x.jsonl", "ratoi": 1}, "ratoi"),
    ],
)
def test_mistakes_are_named(synthetic, message):
    module = plugins.find("stages", "ingest")
    with pytest.raises(ConfigError, match=message):
        config.check(
            "p.toml",
            {"ingest": module.Config},
            {"task": "translate", "ingest": {"files": "x.tsv", "synthetic": synthetic}},
        )


def test_a_tag_needs_a_source_text():
    module = plugins.find("stages", "ingest")
    with pytest.raises(ValueError, match="no source of the task is a text"):
        module.Config(task="caption", files="x.tsv", synthetic={"files": "x.jsonl", "tag": TAG})


def test_files_that_are_missing_or_all_held_out_are_named(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="nothing.jsonl"):
        ingest(tmp_path / "a", {"files": str(tmp_path / "nothing.jsonl")})
    with pytest.raises(DataError, match="no rows left of 1 read"):
        ingest(tmp_path / "b", {"files": write_rows(tmp_path / "bt.jsonl", REAL[:1])})


def test_the_cache_key_depends_on_the_synthetic_files(tmp_path):
    file = tmp_path / "bt.jsonl"
    digests = []
    for rows in (MORE, MORE[1:]):
        section = plugins.find("stages", "ingest").Config(
            task="translate",
            files=str(tiny.generator_rows(tmp_path / "rows.tsv")),
            synthetic={"files": write_rows(file, rows)},
        )
        from textpipe.cache import fingerprint

        digests.append(fingerprint.key(fingerprint.compute("ingest", "textpipe.stages.ingest", section, {}, [])))
    assert digests[0] != digests[1]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tagged(request, tmp_path_factory):
    """Outputs up to vectorize of tagged synthetic rows, one of which contains the tag itself; the steps would change the tag."""
    folder = tmp_path_factory.mktemp(request.param)
    rows = [*MORE, ("the <BT> dog", "das <BT> Tier")]
    tables = {
        **tiny.GENERATOR,
        "ingest": {"synthetic": {"files": write_rows(folder / "bt.jsonl", rows), "tag": TAG}},
        "normalize": {"steps": ["unicode", "whitespace", "lowercase", "punctuation"]},
        "tokenize": {"codec": {"kind": request.param, "vocab_size": 330}},
    }
    return tiny.build(folder, tables, tiny.generator_rows(folder / "rows.tsv"), until="vectorize")


def ids_of(outputs, field):
    """The ids of real and of synthetic rows."""
    tag = reserved.read(outputs["normalize"])
    return [
        [
            row
            for batch in shards.read(outputs["vectorize"], "train", [field], number=number)
            for row in batch.column(0).to_pylist()
        ]
        for number in (0, tag.first_shard)
    ]


def tag_id(outputs):
    codec = vectorizer.load_codec(outputs["tokenize"], "source")
    return int(codec.tokenizer.string_to_id("▁" + TAG))


def test_the_tag_is_one_token_before_each_synthetic_source_and_nowhere_else(tagged):
    token = tag_id(tagged)
    real, synthetic = ids_of(tagged, "source")
    assert len(synthetic) == 41 and all(row[0] == token and row.count(token) == 1 for row in synthetic)
    assert real and not any(token in row for row in real)
    assert not any(token in row for rows in ids_of(tagged, "target") for row in rows)


def test_no_text_given_to_the_model_has_the_tag(tagged):
    clean, codec = Normalizer(tagged["normalize"]), vectorizer.load_codec(tagged["tokenize"], "source")
    texts = ["<BT> the house", "<BT><BT>", " <BT>", "a <BT> b", "x<BT>", "<<BT>>"]
    for field in ("source", "target"):
        ids = codec.encode(clean(field, tf.constant(texts))).to_list()
        assert not any(tag_id(tagged) in row for row in ids)
    # Without the step that keeps it out, the first text would be a tagged one.
    assert codec.encode(tf.constant(texts[:1])).to_list()[0][0] == tag_id(tagged)


def test_no_answer_shows_the_tag_and_bytes_are_still_the_unknown_ones(tagged):
    codec = vectorizer.load_codec(tagged["tokenize"], "target")
    house = codec.encode(tf.constant(["haus"])).to_list()[0]
    with_tag = tf.constant([[tag_id(tagged), *house, tag_id(tagged)]])
    assert codec.decode(with_tag).numpy().tolist() == [b"haus"]
    ids = codec.encode(tf.constant(["haus 漢"]))
    assert codec.unknown(ids.flat_values).numpy().sum() == 3, "the bytes of one character"
    assert not codec.unknown(tf.constant([tag_id(tagged)])).numpy().any()


def test_subword_sampling_leaves_the_tag_whole(tagged):
    from textpipe.data.columns import Ids
    from textpipe.text import sampling

    kind = json.loads((tagged["tokenize"] / "codecs.json").read_text())["source"]["kind"]
    options = {"unigram": {"alpha": 0.1, "dropout": None}, "bpe": {"alpha": None, "dropout": 0.5}}[kind]
    _, synthetic = ids_of(tagged, "source")
    sampler = sampling.load(tagged["tokenize"], "source", Ids.from_lists(synthetic).blocks, max_length=100, **options)
    drawn = [
        values[offsets[row] : offsets[row + 1]].tolist()
        for values, offsets in sampler.draw(7)
        for row in range(len(offsets) - 1)
    ]
    assert drawn != synthetic, "something was sampled"
    assert all(row[0] == tag_id(tagged) and row.count(tag_id(tagged)) == 1 for row in drawn)
    pieces = Pieces.read(tagged["tokenize"] / "joint.model")
    assert not pieces.plain[tag_id(tagged)]


def test_a_codec_without_pieces_of_its_own_is_refused(tmp_path):
    tables = {
        **tiny.GENERATOR,
        "ingest": {"synthetic": {"files": write_rows(tmp_path / "bt.jsonl", MORE), "tag": TAG}},
        "tokenize": {"codec": "characters"},
    }
    with pytest.raises(ConfigError, match="codec 'characters' cannot make one token of '<BT>'; set .* bpe or unigram"):
        tiny.build(tmp_path / "out", tables, tiny.generator_rows(tmp_path / "rows.tsv"), until="tokenize")


@pytest.mark.parametrize("token", ["<BT>", "aa", "__BT__", "aXa", "$1"])
def test_reserve_leaves_no_token_whatever_stands_around_it(token):
    module = plugins.find("text.steps", "reserve")
    section = Plugin.check("text.steps", {"kind": "reserve", "token": token})
    texts = [token * 3, token[:-1] + token, token + token[1:], f"x{token}x", f"{token[0]}{token}{token[-1]}", "x y"]
    once = module.apply(tf.constant(texts), section)
    assert not any(token in text.decode() for text in once.numpy())
    assert once.numpy()[-1] == b"x y"
    assert module.apply(once, section).numpy().tolist() == once.numpy().tolist()


def test_the_default_changes_no_row(tmp_path):
    """A pipeline without [ingest.synthetic] has the steps and files that it had."""
    outputs = tiny.build(tmp_path, tiny.GENERATOR, tiny.generator_rows(tmp_path / "rows.tsv"), until="normalize")
    assert not (outputs["ingest"] / reserved.FILE).exists() and not (outputs["normalize"] / reserved.FILE).exists()
    steps = json.loads((outputs["normalize"] / "normalize.json").read_text())["source"]
    assert [step["kind"] for step in steps] == ["unicode", "whitespace"]
    assert "synthetic" not in json.loads((outputs["ingest"] / "stats.json").read_text())
    assert runner.ORDER[0] == "ingest" and _ingest_synthetic.TAG.fullmatch(TAG)


def test_the_first_column_can_be_given_by_its_number(tmp_path):
    file = tmp_path / "bt.tsv"
    file.write_text("target\tsource\tother\nS\tno\tT\n")
    output, _ = ingest(tmp_path, {"files": str(file), "columns": {"source": 0, "target": 2}})
    assert [(row["source"], row["target"]) for row in rows_of(output)[8:]] == [("S", "T")]
