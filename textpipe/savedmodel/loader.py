"""Load an exported model and predict: strings in, strings out, with TensorFlow and TensorFlow Text only.

    model = Model.load("saved_models/phrases_en_de")
    model.predict(["The woman reads."])     # [{"answer": "Die Frau liest.", "score": -0.04}]

Works for any SavedModel whose signatures take strings; one of textpipe is checked against its manifest first.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.errors import ModelError, suggest
from textpipe.runtime import lazy_tensorflow, tensorflow_library
from textpipe.savedmodel import description, manifest, messages
from textpipe.savedmodel import signatures as records
from textpipe.savedmodel.batching import BATCH_ROWS, run_in_batches, to_python
from textpipe.savedmodel.locations import find_version
from textpipe.savedmodel.model_rows import Row, encode, parse_row, to_examples

if TYPE_CHECKING:
    import numpy as np

ABOUT = description.NAME
read_about = description.read
GOLDEN = "assets.extra/golden.jsonl"  # rows with the answers of training-side code
DEFAULT = description.DEFAULT
# The graph's message for an option outside its bounds, and for a cell that it cannot read.
REFUSED = re.compile(r"assertion failed: \[((?:option|expected) [^]]*)\] \[([^]]*)\]")
DAMAGED = re.compile(r"Invalid (PNG|JPEG) data")  # what TensorFlow says of a picture that it cannot decode

Runtime = Literal["python", "session"]  # see runtimes.py
FIELD_DTYPES = ("string", "float32")  # dtypes of row fields


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    path: its version directory; fields: of a row; about: textpipe.json ({} for a model of another tool); signatures: name
    -> function of named tensors; input_defaults: {signature: {input: default}}; described: the definition of each
    signature.
    """

    path: Path
    fields: tuple[str, ...]
    about: dict[str, Any]
    signatures: dict[str, Any]
    input_defaults: dict[str, dict[str, Any]]
    loaded: Any  # keeps the variables the signatures use alive; a session.Session in the runtime "session"
    described: dict[str, records.Signature] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls, path: str | Path, *, verify: bool = True, runtime: Runtime = "python", saved: Any = None
    ) -> "Model":  # fmt: skip
        """Load saved_models/NAME (its latest version), NAME/VERSION, or any SavedModel directory.

        runtime: what runs it, see runtimes.py; with "session", signatures are functions of arrays instead of tensors. saved: the
        parsed saved_model.pb, where the caller has it.

        Raises ModelError when there is no model, when a file differs from the manifest, when this version does not read
        its format, or when loading fails.
        """
        from textpipe.savedmodel import runtimes

        folder = find_version(Path(path))
        if runtime == "session":
            tensorflow_library.preload()
        about = check_files(folder, verify=verify)
        if runtime == "session":
            lazy_tensorflow.install()
            saved = saved or messages.read_saved_model(folder)  # once
        loaded = runtimes.load(folder, runtime, saved)
        signatures = dict(loaded.signatures)
        if not signatures:
            raise ModelError(f"{folder}: has no signatures to call; export it with signatures")
        default = signatures.get(DEFAULT) or next(iter(signatures.values()))
        inputs = {
            name: {key: (spec.dtype.name, shape_of(spec)) for key, spec in input_specs(function).items()}
            for name, function in signatures.items()
        }
        described = description.signatures(about, inputs)
        return cls(
            folder,
            tuple(sorted(input_specs(default))),
            about,
            signatures,
            read_input_defaults(saved or messages.read_saved_model(folder)),
            loaded,
            described,
        )

    @property
    def name(self) -> str:
        """saved_models/NAME/3 -> NAME."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """saved_models/NAME/3 -> "3"."""
        return self.path.name

    def predict(
        self,
        rows: Sequence[Row],
        *,
        signature: str = DEFAULT,
        options: Mapping[str, Any] | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> list[dict[str, Any]]:
        """Run a signature; returns a dict of its outputs for each row, in order.

        rows: texts, or dicts by source field. Strings are returned as str, numbers as int and float, further axes as
        lists. Rows are run in batches of similar length.

        options: settings of a generator's decoder for this call, {"beam_size": 3, "length_penalty": 0.6}, as numbers or
        strings; see `option_defaults`. They apply to serving_default and nbest.

        Raises ModelError for an unknown signature, option or field, for an invalid option value, and when the model
        fails on a row.

        ["I agree."] -> [{"answer": "no", "score": 0.9, "labels": ["no", "yes"], "probabilities": [0.9, 0.1]}]
        """
        if signature not in self.signatures:
            raise ModelError(f"{self.path}: no signature {signature!r}{suggest(signature, self.signatures)}")
        if options:
            described = self.described[signature]
            if not described.options and (
                described.search is None or described.search.signature not in self.signatures
            ):
                raise ModelError(f"{self.path}: {signature!r} of this model has no options")
            target = signature if described.search is None else described.search.signature
            outputs = self.predict_tensors(rows, self.option_tensors(options), signature=target, batch_rows=batch_rows)
            return convert_outputs(described, outputs)
        return self.predict_tensors(rows, self.defaults(signature), signature=signature, batch_rows=batch_rows)

    def predict_tensors(
        self, rows: Sequence[Row], fixed: Mapping[str, Any], *, signature: str, batch_rows: int = BATCH_ROWS
    ) -> list[dict[str, Any]]:
        """As predict, with fixed tensors that are passed to every batch."""
        function = self.signatures[signature]
        names = input_specs(function)
        for name, spec in names.items():
            if name not in fixed and spec.dtype.name not in FIELD_DTYPES:
                raise ModelError(f"{self.path}: input {name!r} of {signature!r} takes {spec.dtype.name}, not strings")
        columns: dict[str, list[Any]] = {field: [] for field in self.fields}
        for number, row in enumerate(rows, 1):
            for field, cell in parse_row(self.dtypes, row, number).items():
                columns[field].append(encode(cell) if isinstance(cell, str) else cell)
        if described := self.described[signature].inputs_of_kind(records.EXAMPLES):
            columns = dict.fromkeys(described, to_examples(columns))
        if missing := sorted(names.keys() - columns.keys() - fixed.keys()):
            raise ModelError(
                f"{self.path}: {signature!r} also needs {', '.join(missing)}, but predict passes only {', '.join(self.fields)}; "
                "choose another signature"
            )
        from textpipe.runtime.c_api import CallError

        try:
            return run_in_batches(function, columns, batch_rows=batch_rows, fixed=fixed)
        except CallError as error:
            if reason := refusal(error.message):
                raise ModelError(f"{self.path}: {reason}") from None
            raise ModelError(f"{self.path}: {signature!r} failed on these rows ({error.message})") from None

    @property
    def dtypes(self) -> dict[str, str]:
        """{field: "string" for a text, "float32" for a number}."""
        default = self.signatures.get(DEFAULT) or next(iter(self.signatures.values()))
        return {name: spec.dtype.name for name, spec in sorted(input_specs(default).items())}

    def defaults(self, signature: str) -> dict[str, Any]:
        """Default values of a signature's optional inputs, which a server fills in but Python does not."""
        return dict(self.input_defaults.get(signature, {}))

    def option_defaults(self) -> dict[str, Any]:
        """The options of `predict` with their defaults: {"beam_size": 5, ...}; {} for none."""
        taking = records.find_with_options(self.described.values())
        defaults = self.defaults(taking.name) if taking else {}
        names = taking.options if taking else ()
        return {name: to_python(value.reshape(-1)[0]) for name, value in defaults.items() if name in names}

    def bounds(self) -> dict[str, list[Any]]:
        """The lowest and highest value of each numeric option: {"beam_size": [1, 64], ...}."""
        return dict(self.about.get("bounds") or {})

    def option_tensors(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs, except fields, of the signature that takes options: defaults, replaced by those in `options`."""
        import numpy as np

        from textpipe.runtime import dtypes

        taking = records.find_with_options(self.described.values())
        assert taking is not None
        tensors, bounds = self.defaults(taking.name), self.bounds()
        names = set(tensors).intersection(taking.options)
        for name, value in options.items():
            if name not in names:
                raise ModelError(f"{self.path}: no option {name!r}{suggest(name, names)}")
            dtype = dtypes.dtype_name(tensors[name])
            number = parse_option(value, dtype)
            if number is None:
                expected = option_noun(dtype)
                raise ModelError(f"{self.path}: option {name} expects {expected}, found {value!r}")
            low, high = bounds.get(name, (number, number))
            if not low <= number <= high:
                side = f"at least {low}" if number < low else f"at most {high}"
                raise ModelError(f"{self.path}: option {name} must be {side}, found {value}")
            tensors[name] = np.full(tensors[name].shape, number, tensors[name].dtype)
        return tensors


def check_files(folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """textpipe.json of a version directory. Raises ModelError when a file is missing, damaged or of another format.

    verify: compare every file with the manifest too.
    """
    if verify and (folder / manifest.NAME).exists():
        manifest.verify(folder)
    about = read_about(folder)
    description.check(folder, about)
    if about and not (folder / manifest.NAME).exists():
        raise ModelError(f"{folder}: no {manifest.NAME}, so the copy may be incomplete; copy or export it again")
    return about


def refusal(message: str) -> str | None:
    """What a graph says of a value that it refuses, out of TensorFlow's message; None for other errors."""
    if match := REFUSED.search(message):
        return f"{match[1]} {match[2]}"
    if match := DAMAGED.search(message):
        return f"expected a picture that can be decoded, found a {match[1]} that is damaged"
    return None


def convert_outputs(signature: records.Signature, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert rows of outputs of the signature with options to the outputs of `signature`."""
    if signature.search is None:
        return rows
    outputs, first = signature.search.outputs, signature.search.first
    return [{name: row[source][0] if first else row[source] for name, source in outputs.items()} for row in rows]


def input_specs(function: Any) -> dict[str, Any]:
    """The named inputs of a signature: {"text": TensorSpec([None], string)}."""
    # A loaded signature has keyword inputs; a freshly traced one still has positional ones.
    positional, named = function.structured_input_signature
    return {**{spec.name: spec for spec in positional}, **named}


def shape_of(spec: Any) -> records.Shape:
    """The shape of a TensorSpec, with None for any size; () for an unknown rank."""
    return () if spec.shape.rank is None else tuple(spec.shape.as_list())


def read_input_defaults(saved: Any) -> dict[str, dict[str, "np.ndarray"]]:
    """The arrays that a server fills in for inputs a request omits: {signature: {input: value}}."""
    from textpipe.runtime import dtypes

    definitions = (item for graph in saved.meta_graphs for item in graph.signature_def.items())
    return {
        name: {key: dtypes.default_array(proto) for key, proto in sorted(signature.defaults.items())}
        for name, signature in definitions
    }


def option_noun(dtype: str) -> str:
    """What messages call a value of an option: "int32" -> "a whole number"."""
    return {"string": "a text", "bool": "true or false"}.get(
        dtype, "a whole number" if dtype.startswith("int") else "a number"
    )


def parse_option(value: Any, dtype: str) -> Any:
    """Convert a caller's value to a tensor's dtype; None when it cannot be.

    parse_option("3", "int32") -> 3;   ("3.5", "int32") -> None;   ("Ein", "string") -> b"Ein";   ("false", "bool") -> False
    """
    if dtype == "bool":
        return {"true": True, "false": False}.get(str(value).lower())
    if dtype == "string":
        return encode(value) if isinstance(value, str) else None
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    if not math.isfinite(number) or isinstance(value, bool):
        return None
    if dtype.startswith("int"):
        return int(number) if number.is_integer() and abs(number) < 2**31 else None
    return number
