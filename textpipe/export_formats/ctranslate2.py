"""Export a transformer for CTranslate2, an inference engine for transformers, fast on CPUs.

    config.json, model.bin, *_vocabulary.json   the files of ctranslate2.Translator
    *.model                                     the sentencepiece models, if the codec has them
    textpipe.json                               tokenization, limits, and beam settings close to the pipeline's
    README.md                                   how to call it, and its agreement with the pipeline's decoder

The export is kept only if CTranslate2 gives the pipeline's answers to golden rows the same log-probabilities, and finds
the same answers by greedy search.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.export_formats import _ctranslate2_check, _ctranslate2_weights
from textpipe.savedmodel import loader
from textpipe.version import __version__

FORMAT = "ctranslate2"
NEEDS = ("ingest", "normalize", "tokenize", "vectorize", "train")
DECODERS = ("greedy", "beam")
UNSUPPORTED = {
    "rules": [],
    "replace_unknown": False,
    "prefix": "",
}  # options CTranslate2 lacks, at their neutral values
MIN_POSITIONS = 1024  # positions exported with the model; CTranslate2 truncates sources there


def check(sections: Mapping[str, Section]) -> None:
    """Raise ConfigError for a pipeline that CTranslate2 cannot run, or when the package is missing."""
    model, decode = sections["train"].model, sections["export"].decode
    if model.kind != "transformer":
        raise ConfigError(
            f'[model] kind = "{model.kind}": CTranslate2 runs only transformers; export this one as a SavedModel'
        )
    if decode.kind not in DECODERS:
        raise ConfigError(
            f'[decode] kind = "{decode.kind}": CTranslate2 has no such search; add -s decode=beam to export the model'
        )
    if sections["export"].ensemble:
        raise ConfigError(
            "ensemble: CTranslate2 runs one model; leave ensemble out, or export the ensemble as a SavedModel"
        )
    for name, neutral in UNSUPPORTED.items():
        if getattr(decode, name) != neutral:
            raise ConfigError(
                f"[decode] {name} = {getattr(decode, name)!r}: CTranslate2 has no such option; leave it out, or add "
                "-s decode=beam to export the model"
            )
    try:
        import ctranslate2  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--format ctranslate2: the package ctranslate2 is not installed; pip install 'textpipe[ctranslate2]'"
        ) from None


def write(task: str, sections: Mapping[str, Section], inputs: Mapping[str, Path], folder: Path) -> str:
    """Write the model to an empty folder and check it on golden rows; returns a summary.

    sections: a pipeline's, by stage; inputs: the artifacts of NEEDS. Raises ConfigError as `check` does, and ModelError
    when CTranslate2 and the pipeline answer differently.
    """
    check(sections)
    from textpipe.servable.graph import Servable

    # CTranslate2 cannot limit an answer by its source's length; max_length still applies.
    decode = sections["export"].decode.model_copy(update={"max_ratio": None})
    servable = Servable.load(inputs, plugins.find("tasks", task), decode)
    source, target = (servable.features[field] for field in (servable.source, servable.target))
    num_positions = max(MIN_POSITIONS, source.max_length, decode.max_length + 1)
    spec = _ctranslate2_weights.build_spec(servable.model, num_positions)
    spec.register_source_vocabulary(_ctranslate2_weights.vocabulary(source.codec))
    spec.register_target_vocabulary(_ctranslate2_weights.vocabulary(target.codec))
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    codecs = json.loads((inputs["tokenize"] / "codecs.json").read_text(encoding="utf-8"))
    for path in {inputs["tokenize"] / f"{codecs[field]['name']}.model" for field in (servable.source, servable.target)}:
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    rows = _ctranslate2_check.golden_rows(sections["export"].golden_rows, dict(inputs), servable)
    agreement = _ctranslate2_check.compare(servable, rows, folder, decode)
    about = {
        "format": FORMAT,
        "task": task,
        "source": describe_field(servable.source, inputs, codecs, source.max_length),
        "target": describe_field(servable.target, inputs, codecs, target.max_length),
        "decode": {
            "pipeline": sections["export"].decode.model_dump(mode="json"),
            "ctranslate2": _ctranslate2_check.translate_options(decode, agreement["mean_tokens"]),
        },
        "agreement": agreement,
        "version": __version__,
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / loader.ABOUT).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(readme(about), encoding="utf-8")
    return (
        f"{agreement['rows']} golden rows: log-probabilities within {agreement['largest_difference']:.1e} nats per token, "
        f"greedy {agreement['greedy_equal']} equal, beam {agreement['beam_equal']} equal"
    )


def describe_field(
    field: str, inputs: Mapping[str, Path], codecs: Mapping[str, Any], max_length: int
) -> dict[str, Any]:
    """The normalization and tokenization of a field."""
    steps = json.loads((inputs["normalize"] / "normalize.json").read_text(encoding="utf-8"))[field]
    model = f"{codecs[field]['name']}.model"
    file = model if (inputs["tokenize"] / model).is_file() else None
    return {
        "field": field,
        "normalize": steps,
        "codec": codecs[field]["kind"],
        "sentencepiece": file,
        "max_length": max_length,
    }


def readme(about: Mapping[str, Any]) -> str:
    """The README of an exported model, with its limits and figures."""
    source, target, agreement = about["source"], about["target"], about["agreement"]
    settings = about["decode"]["ctranslate2"]
    steps = ", ".join(step["kind"] for step in source["normalize"]) or "none"
    return README.format(
        task=about["task"],
        rows=agreement["rows"],
        difference=f"{agreement['largest_difference']:.1e}",
        greedy=agreement["greedy_equal"],
        beam=agreement["beam_equal"],
        steps=steps,
        longest=source["max_length"] - 1,
        encode=ENCODE[source["sentencepiece"] is not None].format(file=source["sentencepiece"], codec=source["codec"]),
        decode=DECODE[target["sentencepiece"] is not None].format(file=target["sentencepiece"], codec=target["codec"]),
        settings="".join(f"    {name}={value!r},\n" for name, value in settings.items()),
        alpha=about["decode"]["pipeline"]["length_penalty"],
        mean=agreement["mean_tokens"],
        version=about["version"],
    )


ENCODE = {
    True: 'pieces = sentencepiece.SentencePieceProcessor(model_file="{file}").encode(texts, out_type=str)',
    False: "pieces = ...    # lists of tokens of source_vocabulary.json; the codec is {codec!r}",
}
DECODE = {
    True: 'answers = sentencepiece.SentencePieceProcessor(model_file="{file}").decode(best)',
    False: "answers = best    # tokens of target_vocabulary.json; the codec is {codec!r}",
}
README = """# A {task} model for CTranslate2

Written by textpipe {version}. `pip install ctranslate2 sentencepiece`, then, in this folder:

```python
import ctranslate2
import sentencepiece

texts = ["..."]    # normalized as in training: {steps}
{encode}
engine = ctranslate2.Translator(".", compute_type="float32")    # or "int8": smaller and faster, less exact
results = engine.translate_batch(
    [row[:{longest}] for row in pieces],    # longer texts were truncated in training
    max_batch_size=32,
{settings})
best = [row.hypotheses[0] for row in results]
{decode}
```

The SavedModel of the same pipeline normalizes texts itself; here you must apply the steps above.

Checked at export on {rows} data rows and awkward texts: log-probabilities of the pipeline's answers agree within
{difference} nats per token; {greedy} greedy answers and {beam} answers by beam search are equal.
Answers by beam search may differ, because CTranslate2 ends a search earlier and divides log-probabilities by
length ** x where the pipeline divides by ((5 + length) / 6) ** {alpha}. With the x above both rank equally around {mean} tokens,
the mean length of the checked answers. max_ratio has no equivalent. With length_penalty=0 and num_hypotheses=beam_size
you get unnormalized log-probabilities, to rank by any formula.
"""
