"""Load an exported model and ask it: strings in, strings out, with TensorFlow and TensorFlow Text alone.

    model = Model.load("saved_models/phrases_en_de")
    model.predict(["The woman reads."])     # [{"answer": "Die Frau liest.", "score": -0.04}]

Any SavedModel whose signatures take strings will do; one of textpipe's is compared with its manifest first.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.errors import ModelError, suggest
from textpipe.runtime import stderr, without_keras
from textpipe.savedmodel import description, manifest, publish
from textpipe.savedmodel import signatures as records
from textpipe.savedmodel.batching import BATCH_ROWS, answered, plain
from textpipe.savedmodel.model_rows import Row, by_field, encode, examples

ABOUT = description.NAME
read_about = description.read
GOLDEN = "assets.extra/golden.jsonl"  # rows with the answers of training-side code
DEFAULT = description.DEFAULT
# What a graph says when an option lies outside its bounds.
OPTION_REFUSED = re.compile(r"assertion failed: \[(option [^]]*found)\] \[([^]]*)\]")

FIELD_DTYPES = ("string", "float32")  # dtypes of fields that rows may have


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    path: its version directory; fields: the texts a row needs; about: what textpipe.json says ({} for a model of
    another tool); signatures: name -> function of named tensors; input_defaults: {signature: {input: its default}};
    described: what each signature takes and gives.
    """

    path: Path
    fields: tuple[str, ...]
    about: dict[str, Any]
    signatures: dict[str, Any]
    input_defaults: dict[str, dict[str, Any]]
    loaded: Any  # keeps the variables the signatures use alive
    described: dict[str, records.Signature] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> "Model":
        """From saved_models/NAME (its latest version), NAME/VERSION, or any SavedModel directory.

        Raises ModelError when there is no model, when a file is not what the manifest says, when it is of a format that
        this version does not read, or when it cannot be loaded.
        """
        place = find_version(Path(path))
        if verify and (place / manifest.NAME).exists():
            manifest.verify(place)
        about = read_about(place)
        description.check(place, about)
        if about and not (place / manifest.NAME).exists():
            raise ModelError(
                f"{place}: no {manifest.NAME}, so the copy may be incomplete; copy it anew or export again"
            )
        tf = without_keras.tensorflow()
        try:
            with stderr.loggers("tensorflow", "absl"):  # "ops with unsaved custom gradients": a server asks for none
                loaded = tf.saved_model.load(str(place))
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()
            raise ModelError(f"{place}: cannot be loaded as a SavedModel ({reason[0] if reason else error})") from None
        signatures = dict(loaded.signatures)
        if not signatures:
            raise ModelError(f"{place}: has no signatures to call; export it with signatures")
        default = signatures.get(DEFAULT) or next(iter(signatures.values()))
        inputs = {
            name: {key: (spec.dtype.name, shape_of(spec)) for key, spec in inputs_of(function).items()}
            for name, function in signatures.items()
        }
        described = description.signatures(about, inputs)
        return cls(
            place, tuple(sorted(inputs_of(default))), about, signatures, read_input_defaults(place), loaded, described
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
        """What a signature gives for each row, by output name; rows of one output keep their order.

        rows: texts, or dicts by source field. Strings come back as str, numbers as int and float, axes beyond the batch
        as lists. Rows are answered in batches of similar length.

        options: settings of a generator's decoder for this call, {"beam_size": 3, "length_penalty": 0.6}, as numbers or
        as strings that say them; `option_defaults` names them. They change what serving_default and nbest give.

        Raises ModelError for a signature, an option or a row's field that the model does not have, for an option's bad
        value, and when the model fails on a row.

        ["I agree."] -> [{"answer": "no", "score": 0.9, "labels": ["no", "yes"], "probabilities": [0.9, 0.1]}]
        """
        if signature not in self.signatures:
            raise ModelError(f"{self.path}: no signature {signature!r}{suggest(signature, self.signatures)}")
        if options:
            described = self.described[signature]
            if not described.options and (
                described.search is None or described.search.signature not in self.signatures
            ):
                raise ModelError(f"{self.path}: {signature!r} of this model takes no options")
            asked = signature if described.search is None else described.search.signature
            found = self.predict_tensors(rows, self.option_tensors(options), signature=asked, batch_rows=batch_rows)
            return as_asked(described, found)
        return self.predict_tensors(rows, self.defaults(signature), signature=signature, batch_rows=batch_rows)

    def predict_tensors(
        self, rows: Sequence[Row], fixed: Mapping[str, Any], *, signature: str, batch_rows: int = BATCH_ROWS
    ) -> list[dict[str, Any]]:
        """As predict, with the tensors that all batches get alike."""
        function = self.signatures[signature]
        names = inputs_of(function)
        for name, spec in names.items():
            if name not in fixed and spec.dtype.name not in FIELD_DTYPES:
                raise ModelError(f"{self.path}: input {name!r} of {signature!r} takes {spec.dtype.name}, not strings")
        columns: dict[str, list[Any]] = {field: [] for field in self.fields}
        for number, row in enumerate(rows):
            for field, cell in by_field(self.dtypes, row, number).items():
                columns[field].append(encode(cell) if isinstance(cell, str) else cell)
        if described := self.described[signature].inputs_of_kind(records.EXAMPLES):
            columns = dict.fromkeys(described, examples(columns))
        import tensorflow as tf

        try:
            return answered(function, columns, batch_rows=batch_rows, fixed=fixed)
        except tf.errors.OpError as error:
            refused = OPTION_REFUSED.search(error.message)
            if refused:
                raise ModelError(f"{self.path}: {refused[1]} {refused[2]}") from None
            raise ModelError(f"{self.path}: {signature!r} failed on these rows ({error.message})") from None

    @property
    def dtypes(self) -> dict[str, str]:
        """{field: "string" of a text, "float32" of a number}."""
        default = self.signatures.get(DEFAULT) or next(iter(self.signatures.values()))
        return {name: spec.dtype.name for name, spec in sorted(inputs_of(default).items())}

    def defaults(self, signature: str) -> dict[str, Any]:
        """Tensors for the inputs of a signature that a caller may leave out: a server fills them in, Python does not."""
        import tensorflow as tf

        protos = self.input_defaults.get(signature, {})
        return {name: tf.constant(tf.make_ndarray(proto)) for name, proto in protos.items()}

    def option_defaults(self) -> dict[str, Any]:
        """The options that `predict` takes, with their values in the model: {"beam_size": 5, ...}; {} for none."""
        taking = records.taking_options(self.described.values())
        defaults = self.defaults(taking.name) if taking else {}
        names = taking.options if taking else ()
        return {name: plain(value.numpy().reshape(-1)[0]) for name, value in defaults.items() if name in names}

    def bounds(self) -> dict[str, list[Any]]:
        """The lowest and the highest value of each option that is a number: {"beam_size": [1, 64], ...}."""
        return dict(self.about.get("bounds") or {})

    def option_tensors(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All inputs but the text of the signature that takes options, those in `options` as a caller gave them."""
        import tensorflow as tf

        taking = records.taking_options(self.described.values())
        assert taking is not None
        tensors, bounds = self.defaults(taking.name), self.bounds()
        names = set(tensors).intersection(taking.options)
        for name, value in options.items():
            if name not in names:
                raise ModelError(f"{self.path}: no option {name!r}{suggest(name, names)}")
            number = parsed(value, tensors[name].dtype.name)
            if number is None:
                kind = "a whole number" if tensors[name].dtype.is_integer else "a number"
                kind = "a text" if tensors[name].dtype.name == "string" else kind
                raise ModelError(f"{self.path}: option {name} expects {kind}, found {value!r}")
            low, high = bounds.get(name, (number, number))
            if not low <= number <= high:
                side = f"at least {low}" if number < low else f"at most {high}"
                raise ModelError(f"{self.path}: option {name} must be {side}, found {value}")
            tensors[name] = tf.fill(tensors[name].shape, tf.constant(number, tensors[name].dtype))
        return tensors


def as_asked(signature: records.Signature, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A signature's outputs from rows that the signature with the options gave in its place."""
    if signature.search is None:
        return found
    outputs, first = signature.search.outputs, signature.search.first
    return [{name: row[given][0] if first else row[given] for name, given in outputs.items()} for row in found]


def find_version(path: Path) -> Path:
    """The version directory behind a path a user gave; raises ModelError saying what was found there instead."""
    if (path / "saved_model.pb").is_file():
        return path
    if not path.exists():
        known = [other.name for other in path.parent.iterdir() if other.is_dir()] if path.parent.is_dir() else []
        raise ModelError(f"{path}: no such model{suggest(path.name, known) if known else ''}")
    latest = publish.latest_version(path)
    if latest is None:
        raise ModelError(f"{path}: holds no SavedModel and no numbered version of one; expected NAME or NAME/VERSION")
    return latest


def inputs_of(function: Any) -> dict[str, Any]:
    """The named inputs of a signature: {"text": TensorSpec([None], string)}."""
    # A loaded signature takes its inputs by keyword; one that was just traced still has the order of its arguments.
    ordered, named = function.structured_input_signature
    return {**{spec.name: spec for spec in ordered}, **named}


def shape_of(spec: Any) -> records.Shape:
    """The sizes of a TensorSpec, None for any; of one of any rank, none."""
    return () if spec.shape.rank is None else tuple(spec.shape.as_list())


def read_input_defaults(place: Path) -> dict[str, dict[str, Any]]:
    """The TensorProtos a server gives to inputs that a request leaves out: {signature: {input: value}}."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((place / "saved_model.pb").read_bytes())
    parts = (part for graph in saved.meta_graphs for part in graph.signature_def.items())
    return {name: dict(sorted(signature.defaults.items())) for name, signature in parts}


def parsed(value: Any, dtype: str) -> Any:
    """A number or text of a tensor's dtype from what a caller gave; None when it is none.

    parsed("3", "int32") -> 3;   parsed("3.5", "int32") -> None;   parsed("Ein", "string") -> b"Ein"
    """
    if dtype == "string":
        return encode(value) if isinstance(value, str) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or isinstance(value, bool):
        return None
    if dtype.startswith("int"):
        return int(number) if number.is_integer() and abs(number) < 2**31 else None
    return number
