"""Fields of unlike many rows are refused before a graph joins them."""

import numpy as np
import pytest

from textpipe.savedmodel import signatures as records
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature

INPUTS = {
    "count": ("number", "float32", (None,)),
    "size": (records.OPTION, "int32", ()),
    "text": ("text", "string", (None,)),
}


def signature(row_inputs=("count", "text")):
    inputs = {name: records.Input(*spec) for name, spec in INPUTS.items()}
    record = records.Signature("options", inputs)
    return Signature(
        "options",
        {name: spec[1] for name, spec in INPUTS.items()},
        ("answer",),
        {},
        None,
        record,
        row_inputs=row_inputs,
    )


def tensors(texts, counts):
    texts = np.array([b"a"] * texts, object)
    return {"text": texts, "count": np.zeros(counts, np.float32), "size": np.array(3, np.int32)}


@pytest.mark.parametrize(("texts", "counts"), [(2, 1), (1, 2), (1, 0), (0, 3)])
def test_fields_of_unlike_many_rows_are_refused(texts, counts):
    with pytest.raises(
        ServingError, match=f"equally many rows of each input, found count {counts}, text {texts}"
    ) as error:
        signature().complete(tensors(texts, counts))
    assert error.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_equally_many_rows_pass(rows):
    assert signature().complete(tensors(rows, rows)).keys() == INPUTS.keys()


def test_a_model_of_another_tool_gets_what_was_sent():
    assert signature(row_inputs=()).complete(tensors(2, 1)).keys() == INPUTS.keys()
