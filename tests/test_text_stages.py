"""The stages normalize, tokenize and vectorize, on small tables."""

import json
import logging

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from pydantic import ValidationError

from textpipe.data import shards
from textpipe.errors import ConfigError, DataError
from textpipe.features import label
from textpipe.features._labels import Labels
from textpipe.stages import _text_columns, normalize, tokenize, vectorize
from textpipe.tasks import classify, translate
from textpipe.text import normalizer, vectorizer

STAGES = {"normalize": normalize, "tokenize": tokenize, "vectorize": vectorize}
MAIL = {
    "text": ["Can you\u00a0call?", "Please CALL me", "I called.", "No  call needed", "Thanks for it", "> quoted\n"] * 4,
    "label": ["yes", "yes", "no", "no", "no", "no"] * 4,
}
PAIRS = {
    "source": ["a red house", "the old man sleeps", "two dogs run", "a man reads a long book", "the house is red"] * 6,
    "target": ["ein rotes Haus", "der alte Mann schläft", "zwei Hunde laufen", "er liest", "das Haus ist rot"] * 6,
}


def ingest(folder, **splits):
    for split, columns in splits.items():
        rows = len(next(iter(columns.values())))
        texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        table = pa.table({"row": pa.array(range(10, 10 + rows), pa.int64()), **texts})
        with shards.Writer(folder, split, table.schema) as writer:
            writer.write(table)
    return folder


def run(root, task, **sections):
    """The three stages on root/ingest; their outputs by name."""
    outputs = {"ingest": root / "ingest"}
    for name, module in STAGES.items():
        outputs[name] = root / name
        outputs[name].mkdir()
        inputs = {needed: outputs[needed] for needed in module.INPUTS}
        module.run(module.Config(task=task, **sections.get(name, {})), inputs, outputs[name])
    return outputs


def rows(folder, split):
    return pa.Table.from_batches(list(shards.read(folder, split))).to_pydict()


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def first(columns, count):
    return {name: values[:count] for name, values in columns.items()}


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    root = tmp_path_factory.mktemp("mail")
    ingest(root / "ingest", train=MAIL, valid=first(MAIL, 3), test=first(MAIL, 6))
    return run(
        root,
        "classify",
        normalize={"steps": ["mail_quotation", "unicode", "casefold", "whitespace"]},
        tokenize={"codec": "none"},
        vectorize={"features": {"kind": "tfidf", "words": [1, 2]}},
    )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    unseen = {"source": ["zebras", "a red man"], "target": ["Zebras", "ein roter Mann"]}
    ingest(root / "ingest", train=PAIRS, valid=first(PAIRS, 4), test=unseen)
    return run(
        root,
        "translate",
        normalize={"fields": {"source": [{"kind": "unicode", "form": "NFKC"}, "casefold"]}},
        tokenize={"codec": {"kind": "words"}},
        vectorize={"features": {"kind": "ids", "max_length": 5}},
    )


def test_normalize_changes_texts_and_nothing_else(mail):
    found = rows(mail["normalize"], "train")
    clean = ["can you call?", "please call me", "i called.", "no call needed", "thanks for it", ""]
    assert found["text"] == clean * 4
    assert found["row"] == list(range(10, 34))
    assert found["label"] == MAIL["label"]
    kinds = [step["kind"] for step in read(mail["normalize"], "normalize.json")["text"]]
    assert kinds == ["mail_quotation", "unicode", "casefold", "whitespace"]


def test_texts_emptied_by_normalization_are_counted_and_kept(mail, tmp_path, caplog):
    assert read(mail["normalize"], "stats.json")["text"]["train"] == {"rows": 24, "changed": 24, "emptied": 4}
    ingest(tmp_path / "ingest", train=MAIL)
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        config = normalize.Config(task="classify", steps=["mail_quotation"])
        normalize.run(config, {"ingest": tmp_path / "ingest"}, tmp_path / "out")
    assert "text: nothing is left of 4 texts" in caplog.text
    assert shards.count_rows(tmp_path / "out", "train") == 24


def test_a_field_can_have_its_own_steps(pairs):
    tables = read(pairs["normalize"], "normalize.json")
    assert [step["kind"] for step in tables["source"]] == ["unicode", "casefold"]
    assert tables["source"][0]["form"] == "NFKC"
    assert [step["kind"] for step in tables["target"]] == ["unicode", "whitespace"]
    clean = normalizer.Normalizer(pairs["normalize"])
    assert clean("source", tf.constant(["A\u00a0ﬁg"])).numpy().tolist() == [b"a fig"]
    assert clean("target", tf.constant(["A\u00a0ﬁg"])).numpy().tolist() == ["A ﬁg".encode()]


def test_sparse_rows_equal_those_of_the_exported_op(mail):
    feature = vectorizer.load_features(mail["vectorize"], mail["tokenize"], classify.FIELDS)["text"]
    for split in shards.SPLITS:
        found = rows(mail["vectorize"], split)
        clean = rows(mail["normalize"], split)
        assert found["row"] == clean["row"]
        expected = tf.sparse.to_dense(feature(tf.constant(clean["text"]))).numpy()
        dense = np.zeros_like(expected)
        for place, (columns, values) in enumerate(zip(found["text.indices"], found["text.values"], strict=True)):
            assert columns == sorted(set(columns))
            dense[place, columns] = values
        np.testing.assert_array_equal(dense, expected)
    assert read(mail["vectorize"], "features.json")["text"] == {**feature.size, "feature": "tfidf"}


def test_labels_are_numbered_in_order_of_their_names(mail):
    assert read(mail["vectorize"], "features.json")["label"] == {
        "kind": "label",
        "classes": ["no", "yes"],
        "feature": "label",
    }
    assert rows(mail["vectorize"], "train")["label"] == [1, 1, 0, 0, 0, 0] * 4
    stats = read(mail["vectorize"], "stats.json")["train"]
    assert stats["rows"] == 24
    assert stats["label"] == {"no": 16, "yes": 8}
    assert stats["text"]["empty"] == 4


def test_ids_equal_those_of_the_exported_op_and_truncated_rows_are_counted(pairs):
    features = vectorizer.load_features(pairs["vectorize"], pairs["tokenize"], translate.FIELDS)
    for split in shards.SPLITS:
        found, clean = rows(pairs["vectorize"], split), rows(pairs["normalize"], split)
        for name, feature in features.items():
            expected = feature(tf.constant(clean[name])).numpy().tolist()
            assert found[name] == [[number for number in row if number] for row in expected]
            assert all(row[-1] == 3 and len(row) <= 5 for row in found[name])
    stats = read(pairs["vectorize"], "stats.json")["train"]["source"]
    tokens = sum(len(row) for row in rows(pairs["vectorize"], "train")["source"])
    assert stats == {"longest": 5, "truncated": 6, "tokens": tokens}
    sizes = read(pairs["vectorize"], "features.json")
    expected = {**features["source"].size, "feature": "ids"}
    assert features["source"].size == {
        "kind": "ids", "vocab_size": features["source"].codec.vocab_size, "max_length": 5
    }  # fmt: skip
    assert sizes["source"] == sizes["target"] == expected


def test_arrow_files_have_the_documented_types(mail, pairs):
    ids, numbers = pa.list_(pa.int32()), pa.list_(pa.float32())
    assert {field.name: field.type for field in shards.schema(pairs["vectorize"], "train")} == {
        "row": pa.int64(), "source": ids, "target": ids
    }  # fmt: skip
    assert {field.name: field.type for field in shards.schema(mail["vectorize"], "train")} == {
        "row": pa.int64(), "text.indices": ids, "text.values": numbers, "label": pa.int32()
    }  # fmt: skip


def test_vocabularies_are_learned_from_train_only_and_unknown_tokens_are_counted(pairs):
    splits = read(pairs["tokenize"], "stats.json")["splits"]
    assert splits["train"]["source"]["unknown"] == 0
    assert splits["train"]["source"]["words"] == splits["train"]["source"]["tokens"] == 6 * (3 + 4 + 3 + 6 + 4)
    test = splits["test"]["target"]
    # Zebras, roter
    assert (test["rows"], test["tokens"], test["unknown"], test["rows_with_unknown"]) == (2, 4, 2, 2)
    assert (test["unknown_rate"], test["tokens_per_word"], test["longest"]) == (0.5, 1.0, 3)


def test_a_joint_vocabulary_is_shared_and_separate_ones_are_not(pairs, tmp_path):
    assert {table["name"] for table in read(pairs["tokenize"], "codecs.json").values()} == {"joint"}
    (tmp_path / "out").mkdir()
    config = tokenize.Config(task="translate", codec={"kind": "unigram", "vocab_size": 285}, vocabulary="separate")
    tokenize.run(config, {"normalize": pairs["normalize"]}, tmp_path / "out")
    expected = {name: {"kind": "unigram", "name": name} for name in ("source", "target")}
    assert read(tmp_path / "out", "codecs.json") == expected
    codecs = {name: vectorizer.load_codec(tmp_path / "out", name) for name in ("source", "target")}
    pieces = {
        name: {piece.decode() for piece in codec.pieces(tf.range(codec.vocab_size)[None]).numpy()[0]}
        for name, codec in codecs.items()
    }
    assert "ä" in pieces["target"]
    assert "ä" not in pieces["source"]
    assert "source" in tokenize.summary(tmp_path / "out")


def test_a_vocabulary_smaller_than_configured_is_recorded(pairs, tmp_path):
    tokenize.run(tokenize.Config(task="translate", codec="bpe"), {"normalize": pairs["normalize"]}, tmp_path)
    found = read(tmp_path, "stats.json")["vocabularies"]["joint"]
    assert found["reduced"]
    assert found["asked"] == 8000 > found["vocab_size"] == vectorizer.load_codec(tmp_path, "target").vocab_size
    assert "the training text allows no more" in tokenize.summary(tmp_path)


def test_summaries_name_every_field_and_lost_content(mail, pairs):
    for stage, module in STAGES.items():
        assert all(name in module.summary(pairs[stage]) for name in ("source", "target"))
    assert "5 left empty" in normalize.summary(mail["normalize"])
    assert "no vocabulary" in tokenize.summary(mail["tokenize"])
    assert "50.00% unknown" in tokenize.summary(pairs["tokenize"])
    assert "6 rows cut" in vectorize.summary(pairs["vectorize"])
    assert "4 rows without any" in vectorize.summary(mail["vectorize"])


def test_a_label_unseen_in_train_is_named_with_split_and_row(mail, tmp_path):
    ingest(tmp_path / "normalize", train=MAIL, valid={"text": ["x", "y", "z"], "label": ["no", "yes", "perhaps"]})
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"valid, row 13: label 'perhaps' is not among the 2 labels of train"):
        inputs = {"normalize": tmp_path / "normalize", "tokenize": mail["tokenize"]}
        vectorize.run(vectorize.Config(task="classify", features="counts"), inputs, tmp_path / "out")


def test_all_labels_missing_from_train_are_listed_at_once(mail, tmp_path):
    held_out = {"text": ["a", "b", "c"], "label": ["maybe", "later", "maybe"]}
    folder = ingest(tmp_path / "normalize", train=MAIL, valid=first(MAIL, 2), test=held_out)
    values = vectorize.held_out_values(folder, classify.FIELDS[1])
    with pytest.raises(
        DataError, match=r"test, row 11: label 'maybe' .*'maybe' \(2\), 'later' \(1\) rows; .*min_count = 2"
    ):
        label.check(Labels(["no", "yes"]), "label", values)
    label.check(Labels(["later", "maybe", "no", "yes"]), "label", values)


@pytest.mark.parametrize("codec", ["unigram", "words", "bytes", "none"])
def test_a_train_split_without_text_is_rejected_with_a_cure(tmp_path, codec):
    folder = ingest(tmp_path / "normalize", train={"text": ["", ""], "label": ["yes", "no"]})
    with pytest.raises(DataError, match="'text' is empty in all 2 rows; check .ingest. columns"):
        tokenize.run(tokenize.Config(task="classify", codec=codec), {"normalize": folder}, tmp_path)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_one_short_row_is_enough_to_learn_pieces_from(tmp_path, kind):
    folder = ingest(tmp_path / "normalize", train={"text": ["ok"], "label": ["yes"]})
    tokenize.run(tokenize.Config(task="classify", codec=kind), {"normalize": folder}, tmp_path)
    assert read(tmp_path, "stats.json")["vocabularies"]["text"]["reduced"]


def test_texts_are_cut_at_a_character_before_the_first_step(pairs):
    texts = ["é" * 9, "", "abc", "日本語" * 3, "\U0001f600" * 5]
    found = normalizer.truncate(tf.constant(texts), 4).numpy()
    assert [text.decode() for text in found] == [text[:4] for text in texts]
    clean = normalizer.Normalizer(pairs["normalize"])
    assert len(clean("target", tf.constant(["ü" * 1_200_000]))[0].numpy().decode()) == 1_000_000


@pytest.mark.parametrize(("labels", "words"), [(["yes"] * 3, "only the label 'yes'"), ([], "no label")])
def test_fewer_than_two_classes_are_rejected_with_a_cure(mail, tmp_path, labels, words):
    texts = ["one two", "two", "three"]
    table = {"text": texts[: len(labels)], "label": labels}
    with pytest.raises(DataError, match=words):
        values = vectorize.training_values(ingest(tmp_path / "normalize", train=table), classify.FIELDS[1])
        label.learn(label.Config(), values, tmp_path, "label")


def test_ids_without_a_codec_are_rejected_with_a_cure(mail, tmp_path):
    with pytest.raises(ConfigError, match="codec: 'none' makes no token ids"):
        vectorize.run(vectorize.Config(task="classify"), {name: mail[name] for name in vectorize.INPUTS}, tmp_path)


def test_target_texts_are_ids_for_any_source_feature(pairs, tmp_path):
    config = vectorize.Config(task="translate", features={"kind": "counts"}, target={"max_length": 4})
    vectorize.run(config, {name: pairs[name] for name in vectorize.INPUTS}, tmp_path)
    sizes = read(tmp_path, "features.json")
    assert (sizes["source"]["kind"], sizes["target"]["kind"], sizes["target"]["max_length"]) == ("sparse", "ids", 4)


def test_a_field_can_have_its_own_feature(pairs, tmp_path):
    config = vectorize.Config(
        task="translate", fields={"source": {"kind": "counts"}, "target": {"max_length": 4, "kind": "ids"}}
    )
    vectorize.run(config, {name: pairs[name] for name in vectorize.INPUTS}, tmp_path)
    sizes = read(tmp_path, "features.json")
    assert (sizes["source"]["feature"], sizes["target"]["feature"]) == ("counts", "ids")
    assert sizes["target"]["max_length"] == 4


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (vectorize, {"task": "classify", "fields": {"txt": "counts"}}, "no such field; did you mean 'text'"),
        (
            vectorize,
            {"task": "classify", "fields": {"label": "counts"}},
            "'counts' does not read label; use one of label",
        ),
        (
            vectorize,
            {"task": "classify", "features": "label"},
            "'label' does not read text; use one of counts, hashed, ids, question, tfidf",
        ),
        (normalize, {"task": "clasify"}, "did you mean 'classify'"),
        (tokenize, {"task": "clasify"}, "did you mean 'classify'"),
        (vectorize, {"task": "clasify"}, "did you mean 'classify'"),
        (normalize, {"task": "classify", "fields": {"label": ["unicode"]}}, "no such text field"),
        (normalize, {"task": "classify", "steps": ["unicod"]}, "did you mean 'unicode'"),
        (tokenize, {"task": "classify", "codec": "unigrams"}, "did you mean 'unigram'"),
        (
            tokenize,
            {"task": "classify", "codec": {"kind": "bpe", "character_coverage": 0.9}},
            "from 0.98 to 1, found 0.9",
        ),
        (tokenize, {"task": "classify", "codec": {"kind": "unigram", "vocab_size": 2**31 - 1}}, "vocab_size"),
        (tokenize, {"task": "classify", "codec": {"kind": "unigram", "vocab_size": 1}}, "vocab_size"),
        (vectorize, {"task": "classify", "target": {"max_length": 9}}, "answers with a label, which has no ids"),
        (vectorize, {"task": "classify", "features": {"kind": "tfidf", "word": [1, 1]}}, "did you mean 'words'"),
        (vectorize, {"task": "classify", "target": {"max_length": 9}}, "target: task 'classify' answers with a label"),
        (tokenize, {"task": "classify", "vocabulary": "joint"}, "vocabulary: task 'classify' has one text field"),
        (tokenize, {"task": "reply", "codec": "none", "vocabulary": "separate"}, "vocabulary: the codec 'none' has no"),
    ],
)
def test_mistakes_in_sections_are_named(module, options, message):
    with pytest.raises(ValidationError, match=message):
        module.Config(**options)


def test_running_again_writes_the_same_bytes(tmp_path):
    digests = []
    for name in ("one", "two"):
        ingest(tmp_path / name / "ingest", train=PAIRS, valid=first(PAIRS, 2), test=first(PAIRS, 1))
        run(tmp_path / name, "translate", tokenize={"codec": {"kind": "unigram", "vocab_size": 290}})
        files = [path for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        digests.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert digests[0] == digests[1]
    assert "vectorize/test/00000.arrow" in digests[0]


def test_batches_are_small_and_lose_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_columns, "MAX_ROWS", 7)
    monkeypatch.setattr(_text_columns, "MAX_BYTES", 40)
    texts = ["x" * (n % 23) for n in range(100)] + ["y" * 500, "", None]
    folder = ingest(tmp_path, train={"text": texts})
    batches = [batch.column(0).to_pylist() for batch in _text_columns.batches(folder, "train", ("text",), ("text",))]
    assert [text for batch in batches for text in batch] == texts
    assert all(1 <= len(batch) <= 7 for batch in batches)
    assert all(sum(len(text or "") for text in batch) <= 40 for batch in batches if len(batch) > 1)
    assert sum(len(_text_columns.to_tensor(pa.array(batch, pa.string()))) for batch in batches) == len(texts)
