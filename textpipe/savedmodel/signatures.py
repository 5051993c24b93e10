"""Signatures of a model as values, and as tables in textpipe.json.

    {"serving_default": {
        "inputs": {"text": {"kind": "text", "dtype": "string", "shape": [null]}}, "outputs": ["answer", "score"],
        "gives": "answer", "method": "predict", "mergeable": true, "follows": null, "search": null}}

Code outside of answers/ looks up signatures by what they `give`, never by name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Values of `gives`.
ANSWER = "answer"  # answers with their scores
FEATURES = "features"  # the model's inputs
LIKELIHOOD = "likelihood"  # log-probabilities of given answers
TOKEN_COUNTS = "token_counts"  # lengths of texts in tokens
ATTENTION = "attention"  # attention maps
STATE = "state"  # a partial answer, for streaming
GIVES = (ANSWER, FEATURES, LIKELIHOOD, TOKEN_COUNTS, ATTENTION, STATE)

# Methods of TensorFlow Serving.
PREDICT, CLASSIFY = "predict", "classify"

# Kinds of inputs other than fields of a row.
EXAMPLES = "examples"  # serialized tf.Examples with the fields
OPTION = "option"  # a setting of the decoder for this call
DEADLINE = "deadline"  # Unix seconds at which a search ends
STATE_INPUT = "state"  # an output of the signature that this one follows
CANDIDATES = "candidates"  # texts [B, K] that are scored for each row
NON_FIELD_KINDS = (EXAMPLES, OPTION, DEADLINE, STATE_INPUT, CANDIDATES)

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Input:
    """An input tensor. kind: of the field, or one of NON_FIELD_KINDS; dtype: TensorFlow's name; shape: with None for any size."""

    kind: str
    dtype: str = "string"
    shape: Shape = (None,)


@dataclass(frozen=True)
class Search:
    """The signature to call instead when a call has options or a deadline.

    signature: its name; outputs: {output: its name there}; first: whether to keep only the first answer of each row.
    """

    signature: str
    outputs: Mapping[str, str]
    first: bool = False


@dataclass(frozen=True)
class Signature:
    """A function of named tensors.

    inputs: by name; gives: one of GIVES, or "" when unknown; call: {name: tensor} -> {output: tensor}; defaults: of optional
    inputs, as NumPy values or tensors; method: of TensorFlow Serving; mergeable: whether rows of several requests may
    share a batch; follows: the signature whose outputs are its inputs; state: returns the inputs of one that follows
    another, known once that one has been traced.
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
        return tuple(name for name, spec in self.inputs.items() if spec.kind in kinds)

    @property
    def fields(self) -> tuple[str, ...]:
        """The inputs that are fields of a row."""
        return tuple(name for name, spec in self.inputs.items() if spec.kind not in NON_FIELD_KINDS)

    @property
    def options(self) -> tuple[str, ...]:
        """The inputs that are settings of the decoder."""
        return self.inputs_of_kind(OPTION)

    @property
    def deadline(self) -> str | None:
        """The input that says when a search ends."""
        return next(iter(self.inputs_of_kind(DEADLINE)), None)


def table(signature: Signature) -> dict[str, Any]:
    """The table of a signature in textpipe.json."""
    search = signature.search
    return {
        "inputs": {
            name: {"kind": spec.kind, "dtype": spec.dtype, "shape": list(spec.shape)}
            for name, spec in signature.inputs.items()
        },
        "outputs": list(signature.outputs),
        "gives": signature.gives,
        "method": signature.method,
        "mergeable": signature.mergeable,
        "follows": signature.follows,
        "search": search and {"signature": search.signature, "outputs": dict(search.outputs), "first": search.first},
    }


def read(name: str, table: Mapping[str, Any]) -> Signature:
    """The signature of a table that description.check has validated."""
    search = table.get("search")
    return Signature(
        name,
        {key: Input(spec["kind"], spec["dtype"], tuple(spec["shape"])) for key, spec in table["inputs"].items()},
        table["gives"],
        tuple(table["outputs"]),
        method=table["method"],
        mergeable=table["mergeable"],
        follows=table["follows"],
        search=search and Search(search["signature"], search["outputs"], search["first"]),
    )


def find_giving(signatures: Iterable[Signature], gives: str) -> Signature | None:
    """The first signature with this `gives` that follows no other, or None."""
    return next((item for item in signatures if item.gives == gives and item.follows is None), None)


def find_with_options(signatures: Iterable[Signature]) -> Signature | None:
    """The signature that takes options of the decoder, or None."""
    return next((item for item in signatures if item.options), None)


def find_n_best(signatures: Iterable[Signature]) -> Signature | None:
    """The signature that gives several answers per row, or None."""
    return next((item for item in signatures if item.search is not None and not item.search.first), None)


def find_following(signatures: Iterable[Signature], name: str) -> Signature | None:
    """The signature that follows another, or None."""
    return next((item for item in signatures if item.follows == name), None)
