"""Export a classifier or a ranker of replies for LiteRT (TensorFlow Lite), for phones and other small devices.

    model.tflite        the network, with LiteRT's built-in ops only; signature serving_default, one row per call
    textpipe.json       its inputs and outputs, the answers that its numbers refer to, and how a text becomes its inputs
    golden.jsonl        rows with raw and normalized texts, inputs and outputs, to test an app's own implementation against
    README.md           how to call it

The model does not read text. textpipe's string operations (RE2 regular expressions, Unicode normalization, splitting, n-grams, hashing)
and sparse tensors are TensorFlow ops that are not built into LiteRT. A converter can leave them to the Flex delegate ("select TensorFlow
ops"), but neither TensorFlow since 2.20 nor LiteRT ships that delegate for Python, so such a model could not be checked here; and
StringNGrams, LowerBound and RaggedCountSparseOutput are missing from the Android delegate, too. So the app normalizes a text, hashes its
n-grams (FarmHash fingerprint 64) and sends their bucket numbers; columns, counts, inverse document frequency, the network, the ranking
and the diversity of replies are in the model. This suits an app that needs few normalization steps, or whose server computes the buckets;
otherwise a SavedModel behind a server is less work.

The export is kept only if LiteRT gives the same answers to golden rows as the pipeline.
"""

import json
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.errors import ConfigError, ModelError
from textpipe.export_formats import _litert_check
from textpipe.runtime import stderr
from textpipe.savedmodel import loader
from textpipe.version import __version__

FORMAT = "litert"
NEEDS = ("ingest", "normalize", "tokenize", "vectorize", "train")
MODEL = "model.tflite"
GOLDEN = "golden.jsonl"
# "'tf.StringJoin' op is neither a custom op nor a flex op", "failed to legalize operation 'tfl.x'"
MISSING_OP = re.compile(r"'(?:tf|tfl)\.(\w+)' op is neither|failed to legalize operation '(?:tf|tfl)\.(\w+)'")


def check(sections: Mapping[str, Section]) -> None:
    """Raises ConfigError for ensembles and for tasks whose answers LiteRT cannot compute."""
    task = sections["export"].task
    answer = plugins.find("tasks", task).ANSWER
    if not hasattr(plugins.find("answers", answer), "from_features"):
        raise ConfigError(
            f"task {task!r}: LiteRT has no built-in op for TensorListReserve, in the search of a model that writes text, "
            "nor for SentencepieceDetokenizeOp, which detokenizes its answers; export it as a SavedModel"
        )
    if sections["export"].ensemble:
        raise ConfigError("ensemble: --format litert writes one model; leave ensemble out")


def write(task: str, sections: Mapping[str, Section], inputs: Mapping[str, Path], folder: Path) -> str:
    """Write the model to an empty folder and check it on golden rows; returns a summary.

    sections: a pipeline's, by stage; inputs: the artifacts of NEEDS, and of responses for a ranker. Raises ConfigError as `check`
    does, and ModelError when LiteRT lacks an op of the model, or when LiteRT and the pipeline answer differently.
    """
    check(sections)
    from textpipe.servable.graph import Servable

    export = sections["export"]
    servable = Servable.load(inputs, plugins.find("tasks", task), export.decode, answer=export.answer)
    answers = plugins.find("answers", plugins.find("tasks", task).ANSWER)
    model = convert(servable, answers)
    (folder / MODEL).write_bytes(model)
    rows = _litert_check.golden_rows(export.golden_rows, dict(inputs), servable, answers)
    agreement = _litert_check.compare(model, rows, folder / MODEL)
    with (folder / GOLDEN).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    about = {
        "format": FORMAT,
        "task": task,
        "inputs": describe_inputs(servable, inputs),
        "outputs": sorted(rows[0]["outputs"]),
        "choices": answers.choices(servable.output),
        "agreement": agreement,
        "bytes": len(model),
        "version": __version__,
    }
    if (threshold := getattr(servable.output, "threshold", None)) is not None:
        about["threshold"] = threshold
    if hasattr(servable.output, "about"):
        about |= servable.output.about()
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / loader.ABOUT).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(readme(about, rows), encoding="utf-8")
    return (
        f"{agreement['rows']} golden rows equal up to {agreement['largest_difference']:.1e}; {len(model):,} bytes, "
        f"{agreement['median_ms']:.2f} ms a row"
    )


def convert(servable: Any, answers: Any) -> bytes:
    """The network as a .tflite file with the signature serving_default. Raises ModelError when LiteRT lacks one of its ops."""
    import tensorflow as tf

    from textpipe.features import _dense

    specs = {}
    for field in servable.sources:
        sent = _dense.spec(servable.features[field])
        if sent is None:
            raise ConfigError(
                f"{field}: LiteRT has no form of this feature; n-grams, ids of a text and numbers have one. Export it as a SavedModel"
            )
        suffix, spec = sent
        specs[f"{field}.{suffix}"] = tf.TensorSpec(spec.shape, spec.dtype, name=f"{field}.{suffix}")

    @tf.function(input_signature=list(specs.values()), autograph=False)
    def serve(*sent: Any) -> dict[str, Any]:
        rows = {
            field: _dense.row(servable.features[field], one) for field, one in zip(servable.sources, sent, strict=True)
        }
        return answers.from_features(servable.output, rows)

    return convert_function(serve)


def convert_function(function: Any) -> bytes:
    """A tf.function with an input signature as a .tflite file of built-in ops. Raises ModelError when LiteRT lacks one of its ops."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = list(function.get_concrete_function().graph.variables)
    quiet = stderr.quiet_loggers("tensorflow", "absl")
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings(), quiet, _litert_check.silent_native_code():
        warnings.simplefilter("ignore")
        tf.saved_model.save(module, work, signatures={loader.DEFAULT: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(work, signature_keys=[loader.DEFAULT])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:  # the converter raises several types
            raise ModelError(missing_ops(str(error))) from error


def missing_ops(message: str) -> str:
    """An error message from the converter's: the ops that LiteRT lacks."""
    names = sorted({first or second for first, second in MISSING_OP.findall(message)})
    if names:
        return f"--format litert: LiteRT has no built-in op for {', '.join(names)} of this model; export it as a SavedModel"
    return f"--format litert: TensorFlow could not convert this model: {message.strip().splitlines()[0][:300]}"


def describe_inputs(servable: Any, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """How a cell of each field becomes the model's input: {input: table}."""
    from textpipe.features import _dense

    steps = json.loads((inputs["normalize"] / "normalize.json").read_text(encoding="utf-8"))
    tables = json.loads((inputs["vectorize"] / "vectorize.json").read_text(encoding="utf-8"))
    described = {}
    for field in servable.sources:
        suffix, spec = _dense.spec(servable.features[field])  # type: ignore[misc]
        described[f"{field}.{suffix}"] = {
            "field": field,
            "dtype": spec.dtype.name,
            "shape": spec.shape.as_list(),
            "normalize": steps.get(field, []),
            "feature": tables[field],
        }
    return described


def readme(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The README of an exported model, with its limits and figures."""
    kinds = {name.rsplit(".", 1)[1] for name in about["inputs"]}
    example = rows[len(rows) // 2]["inputs"]
    return README.format(
        task=about["task"],
        version=about["version"],
        rows=about["agreement"]["rows"],
        difference=f"{about['agreement']['largest_difference']:.1e}",
        example=",\n".join(
            f'    "{name}": np.array({value!r}, np.{about["inputs"][name]["dtype"]})' for name, value in example.items()
        ),
        reading="".join(READING[name] for name in about["outputs"] if name in READING),
        inputs="".join(INPUTS[kind] for kind in ("buckets", "ids", "number") if kind in kinds),
    )


READING = {
    "places": 'print([choices[place] for place in answer["places"][0] if place >= 0], answer["scores"][0])\n',
    "probabilities": 'print(dict(zip(choices, answer["probabilities"][0])))\n',
    "scope": 'print(answer["scope"][0])    # below "threshold" of "out_of_scope" in textpipe.json, the row has no class\n',
}
INPUTS = {
    "buckets": """
`FIELD.buckets`: one int32 for every n-gram of the text, with repeats, at most a few thousand; [-1] for a text without any.
1. Normalize the text by the steps of `textpipe.json`, in their order, and then by the step `casefold` if the feature's `casefold` is
   true.
2. Split it into words: runs of letters, marks, digits and `_`, with single apostrophes inside; every other character that is not
   white space is a word of its own if `punctuation` is true.
3. Join neighbouring words by a space, for every number of words from the first to the last of `words`; if `marks` is true, n-grams of
   two or more words are those of `<s>`, the words, `</s>`. For `characters`, take the n-grams of each word with a space before and
   after it.
4. The bucket is fingerprint64(UTF-8 bytes) modulo `num_buckets`, unsigned (FarmHash; Guava's `Hashing.farmHashFingerprint64`). For
   `characters` add 1013904242 and for `pieces` 625035633, modulo `num_buckets`. For `pairs`, take every two words of step 2 of which one is
   at most `pairs` words after the other; with their fingerprints modulo 2**30, lower and higher, the bucket is
   ((lower * 739982445 + higher) modulo 2147483647 + 461845907) modulo `num_buckets`. With `norm = "family"` add `num_buckets` for the second
   family that is used, in the order words, characters, pieces, pairs, twice as much for the third, and so on.
""",
    "ids": """
`FIELD.ids`: the token ids of the normalized text, cut to `max_length - 1`, then the end id 3.
""",
    "number": """
`FIELD.number`: the number as it is, NaN where there is none.
""",
}
README = """# A {task} model for LiteRT

Written by textpipe {version}. The model has built-in ops only, so any LiteRT or TensorFlow Lite runtime runs it, without the Flex
delegate. It answers one row a call. In Python, in this folder:

```python
import json

import numpy as np
import tensorflow as tf    # or ai_edge_litert.interpreter, with the same classes

choices = json.load(open("textpipe.json", encoding="utf-8"))["choices"]
run = tf.lite.Interpreter("model.tflite", num_threads=1).get_signature_runner("serving_default")
inputs = {{
{example},
}}
answer = run(**inputs)
{reading}```

## Inputs
{inputs}
`golden.jsonl` has rows with `raw` cells, normalized `texts`, `inputs` and `outputs`: test your code for these steps on them.

Checked at export on {rows} data rows and awkward texts: outputs agree with the pipeline's within {difference}.
"""
