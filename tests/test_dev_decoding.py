"""Validation BLEU: answers decoded in batches equal those of single rows, and are compared with the raw texts."""

import json

import numpy as np
import pyarrow as pa
import pytest
import test_training_loop as tests
from sacrebleu.metrics import BLEU

from textpipe.config.fields import Sizes
from textpipe.data import shards
from textpipe.data.columns import Ids
from textpipe.errors import DataError
from textpipe.models import recurrent
from textpipe.text.codec import WordCodec
from textpipe.training import validation_bleu
from textpipe.training.batching.rows import Rows

WORDS = [f"word{number}" for number in range(26)]  # ids 4 to 29
SIZES = Sizes({"source": tests.IDS}, "target", tests.IDS)


@pytest.fixture(scope="module")
def model():
    """A model with long and different answers: its weights have a large spread."""
    config = recurrent.Config(units=8, embedding_size=8, attention="dot", initialization="he_normal")
    model = recurrent.build(config, SIZES, seed=3)
    random = np.random.default_rng(5)
    for weight in model.trainable_variables:
        weight.assign(random.normal(scale=1.5, size=weight.shape))
    return model


def greedy_alone(model, row, longest):
    """Greedy decoding of one row without padding, up to end_id or the maximum length."""
    state, last, said = model.start(model.encode({"source": np.array([row], np.int32)})), 2, []
    while len(said) + 1 < longest:
        logits, state, _ = model.step(state, np.array([last], np.int32))
        logits = np.array(logits)[0]
        logits[[0, 2]] = -np.inf
        last = int(logits.argmax())
        if last == 3:
            break
        said.append(last)
    return said


def test_bleu_equals_that_of_answers_decoded_row_by_row(model, monkeypatch):
    monkeypatch.setattr(validation_bleu, "ROWS", 7)  # several batches and a remainder
    source = tests.reversals(24).inputs["source"]
    rows = [source.gather(np.array([row]), length)[0].tolist() for row, length in enumerate(source.lengths)]
    measure = validation_bleu.ValidationBleu(WordCodec(WORDS), {"source": source}, ["?"] * 24, max_length=14)
    answers = [None] * 24
    for row, answer in zip(measure.rows, measure.answers(model), strict=True):
        answers[row] = answer
    for row, answer in zip(rows, answers, strict=True):
        longest = min(14, int(np.ceil(len(row) * validation_bleu.RATIO)) + validation_bleu.EXTRA)
        alone = greedy_alone(model, row, longest)
        assert answer.split() == [WORDS[word - 4] if word > 3 else "<unk>" for word in alone]
    assert len(set(answers)) > 5
    # References are right for every other row, and wrong in one or all words elsewhere.
    references = [a if row % 3 else answers[row - 1] + " more" for row, a in enumerate(answers)]
    measure.references = references
    expected = BLEU().corpus_score(answers, [references]).score
    assert measure(model) == pytest.approx(expected, rel=1e-12)
    assert 10 < expected < 95
    assert "tok:13a" in measure.described()["signature"] and measure.described()["rows"] == 24

    some = validation_bleu.ValidationBleu(WordCodec(WORDS), {"source": source}, references, max_length=14, limit=5)
    chosen = sorted(some.rows)
    assert len(chosen) == 5 and chosen[0] == 0 and chosen[-1] == 23
    found = BLEU().corpus_score([answers[row] for row in chosen], [[references[row] for row in chosen]]).score
    assert some(model) == pytest.approx(found, rel=1e-12)


def artifacts(folder, raw_rows, vectorized_rows):
    """Outputs of the stages before train, with rows in different orders."""
    inputs = {name: folder / name for name in ("ingest", "tokenize", "vectorize")}
    tables = {
        "ingest": pa.table({"row": raw_rows, "target": [f"Text {row}!" for row in raw_rows]}),
        "vectorize": pa.table({"row": vectorized_rows, "target": pa.array([[5, 3]] * len(vectorized_rows))}),
    }
    for name, table in tables.items():
        table = table.set_column(0, "row", table["row"].cast(pa.int64()))
        kind = "parquet" if name == "ingest" else "arrow"
        with shards.Writer(inputs[name], "valid", table.schema, kind=kind) as writer:
            writer.write(table)
    inputs["tokenize"].mkdir()
    codecs = {name: {"kind": "bytes", "name": name} for name in ("source", "target")}
    (inputs["tokenize"] / "codecs.json").write_text(json.dumps(codecs))
    return inputs


def test_references_are_matched_by_row_and_raw(tmp_path):
    ids = Ids.from_lists([[5, 3]] * 3)
    inputs = artifacts(tmp_path / "one", [4, 9, 2, 7], [2, 4, 9])
    measure = validation_bleu.from_artifacts(inputs, SIZES, Rows({"source": ids}, ids), None)
    assert measure.references == ["Text 2!", "Text 4!", "Text 9!"]
    with pytest.raises(DataError, match="3 validation rows, but 2 raw ones; run ingest again"):
        validation_bleu.from_artifacts(
            artifacts(tmp_path / "two", [4, 9], [2, 4, 9]), SIZES, Rows({"source": ids}, ids), None
        )
