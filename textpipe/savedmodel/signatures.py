"""What a model can be asked: signatures as values, and the table of each in textpipe.json.

    {"serving_default": {
        "inputs": {"text": {"kind": "text", "dtype": "string", "shape": [null]}}, "outputs": ["answer", "score"],
        "gives": "answer", "method": "predict", "mergeable": true, "follows": null, "search": null}}

Nothing outside of answers/ asks for a signature by its name: what it is for is what it `gives`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# What signatures give.
ANSWER = "answer"  # answers with their scores
FEATURES = "features"  # what the model reads
LIKELIHOOD = "likelihood"  # how probable given answers are
TOKEN_COUNTS = "token_counts"  # how long texts are
ATTENTION = "attention"  # where an answer looked
STATE = "state"  # an answer that grows
GIVES = (ANSWER, FEATURES, LIKELIHOOD, TOKEN_COUNTS, ATTENTION, STATE)

# Methods, as TensorFlow Serving has them.
PREDICT, CLASSIFY = "predict", "classify"

# Kinds of inputs that are no fields of a row.
EXAMPLES = "examples"  # serialized tf.Examples with the fields
OPTION = "option"  # a setting of the decoder for this call
DEADLINE = "deadline"  # Unix seconds at which a search ends
STATE_INPUT = "state"  # an output of the signature that is followed
NON_FIELD_KINDS = (EXAMPLES, OPTION, DEADLINE, STATE_INPUT)

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Input:
    """kind: that of the field it is, or one of NO_FIELDS; dtype: TensorFlow's name; shape: None for any size."""

    kind: str
    dtype: str = "string"
    shape: Shape = (None,)


@dataclass(frozen=True)
class Search:
    """What answers in a signature's place where a call has options or a deadline.

    signature: its name; outputs: {output: its name there}; first: whether only the first answer of each row is given.
    """

    signature: str
    outputs: Mapping[str, str]
    first: bool = False


@dataclass(frozen=True)
class Signature:
    """A function of named tensors.

    inputs: by name; gives: one of GIVES, or "" where that is not known; call: {name: tensor} -> {output: tensor}; defaults:
    of inputs that may be left out, as NumPy values or tensors; method: TensorFlow Serving's; mergeable: whether rows of
    several requests may be answered together; follows: the signature whose outputs are its inputs; state: the inputs of
    one that follows another, which are known when that one has been traced.
    """

    name: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    gives: str = ""
    outputs: tuple[str, ...] = ()
    call: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    method: str = PREDICT
    mergeable: bool = False
    follows: str | None = None
    search: Search | None = None
    state: Callable[[], Mapping[str, Input]] | None = None

    def inputs_of_kind(self, *kinds: str) -> tuple[str, ...]:
        """The names of the inputs of these kinds."""
        return tuple(name for name, one in self.inputs.items() if one.kind in kinds)

    @property
    def fields(self) -> tuple[str, ...]:
        """The inputs that are fields of a row."""
        return tuple(name for name, one in self.inputs.items() if one.kind not in NON_FIELD_KINDS)

    @property
    def options(self) -> tuple[str, ...]:
        """The inputs that are settings of the decoder."""
        return self.inputs_of_kind(OPTION)

    @property
    def deadline(self) -> str | None:
        """The input that says when a search ends."""
        return next(iter(self.inputs_of_kind(DEADLINE)), None)


def table(signature: Signature) -> dict[str, Any]:
    """A signature as textpipe.json has it."""
    search = signature.search
    return {
        "inputs": {
            name: {"kind": one.kind, "dtype": one.dtype, "shape": list(one.shape)}
            for name, one in signature.inputs.items()
        },
        "outputs": list(signature.outputs),
        "gives": signature.gives,
        "method": signature.method,
        "mergeable": signature.mergeable,
        "follows": signature.follows,
        "search": search and {"signature": search.signature, "outputs": dict(search.outputs), "first": search.first},
    }


def read(name: str, table: Mapping[str, Any]) -> Signature:
    """The signature of a table; the table has the right shape (export_format.check)."""
    search = table.get("search")
    return Signature(
        name,
        {key: Input(one["kind"], one["dtype"], tuple(one["shape"])) for key, one in table["inputs"].items()},
        table["gives"],
        tuple(table["outputs"]),
        method=table["method"],
        mergeable=table["mergeable"],
        follows=table["follows"],
        search=search and Search(search["signature"], search["outputs"], search["first"]),
    )


def giving(signatures: Iterable[Signature], gives: str) -> Signature | None:
    """The first signature that gives this and continues no other; None when there is none."""
    return next((one for one in signatures if one.gives == gives and one.follows is None), None)


def taking_options(signatures: Iterable[Signature]) -> Signature | None:
    """The signature that takes settings of the decoder; None when there is none."""
    return next((one for one in signatures if one.options), None)


def n_best(signatures: Iterable[Signature]) -> Signature | None:
    """The signature that gives the best answers of each row, several where there are; None when all give one."""
    return next((one for one in signatures if one.search is not None and not one.search.first), None)


def following(signatures: Iterable[Signature], name: str) -> Signature | None:
    """The signature that continues another; None when there is none."""
    return next((one for one in signatures if one.follows == name), None)
