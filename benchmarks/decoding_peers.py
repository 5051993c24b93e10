"""Sentences per second of beam search over Multi30k's test2016: a SavedModel, and the same weights in other engines.

    TEXTPIPE_DATA=... python benchmarks/decoding_peers.py PIPELINE FOLDER [--artifacts data/artifacts] [--rounds 3]
        [--opennmt-python ...] [--joeynmt-python ...] [--ctranslate2-python ...]

PIPELINE is the file of a trained transformer (pre-norm, sinusoidal, relu, shared and tied embeddings, one vocabulary);
its stages are taken from the store. The peers' Python interpreters may also be set by TEXTPIPE_OPENNMT_PYTHON,
TEXTPIPE_JOEYNMT_PYTHON and TEXTPIPE_CTRANSLATE2_PYTHON (needs ctranslate2 and sentencepiece; default: this interpreter if
it has them). Peers without an interpreter are skipped.

The weights are converted to each peer's parameter names, so all engines search with the same model, as their BLEU
confirms. textpipe and CTranslate2 are measured from text to text, the others from subword pieces to pieces. In each round
every engine runs for one window, in turn. Writes benchmarks/results/decoding_peers.json.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

from peers.metronome import Worker
from training_speed import spread

HOME = Path(__file__).parent
RESULTS = HOME / "results" / "decoding_peers.json"
OURS = "textpipe"
SETTINGS = ("batch_rows", "beam_size", "length_penalty", "patience", "max_length", "max_ratio", "max_extra", "model")
PEERS = {
    "ctranslate2_float32": ("ctranslate2", "decode_ctranslate2.py", ["float32"]),
    "ctranslate2_int8": ("ctranslate2", "decode_ctranslate2.py", ["int8"]),
    "opennmt-tf": ("opennmt", "decode_opennmt_tf.py", []),
    "joeynmt": ("joeynmt", "decode_joeynmt.py", []),
}


def prepare(path, folder, artifacts, saved_models, batch_rows, rows):
    """Run or load the pipeline and write the workers' input files; returns the references."""
    import numpy as np
    import tensorflow as tf

    from textpipe.config import plugins
    from textpipe.data import shards
    from textpipe.export_formats import _folder, ctranslate2
    from textpipe.pipeline import runner
    from textpipe.servable.graph import Servable

    loaded = runner.Pipeline.load(path)
    result = runner.run(loaded, artifacts=artifacts, saved_models=saved_models)
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    decode = loaded.sections["export"].decode
    servable = Servable.load(paths, plugins.find("tasks", loaded.task), decode)
    columns = {"source": [], "target": []}
    for batch in shards.read(paths["ingest"], "test", tuple(columns)):
        for name, texts in columns.items():
            texts += batch.column(name).to_pylist()
    texts, references = (columns[name][:rows] for name in ("source", "target"))
    normalized = [text.decode() for text in servable.clean("source", tf.constant(texts)).numpy()]
    codec = servable.features["source"].codec
    names = [name.decode() for name in codec.pieces(tf.range(codec.vocab_size)[None])[0].numpy()]
    ids = codec.encode(tf.constant(normalized)).to_list()
    limit = servable.features["source"].max_length - 1
    lines = [" ".join(names[token] for token in row[:limit]) for row in ids]
    for language in ("en", "de"):  # joeynmt requires a target file but does not use it
        (folder / f"test.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "opennmt.vocab").write_text("\n".join(["<blank>", "<s>", "</s>", *names[4:]]) + "\n", encoding="utf-8")
    (folder / "joeynmt.vocab").write_text(
        "\n".join(["<unk>", "<pad>", "<s>", "</s>", *names[4:]]) + "\n", encoding="utf-8"
    )
    np.savez(folder / "weights.npz", **weights(servable.model))
    name = json.loads((paths["tokenize"] / "codecs.json").read_text(encoding="utf-8"))["target"]["name"]
    (folder / "pieces.model").write_bytes((paths["tokenize"] / f"{name}.model").read_bytes())
    engine = folder / "ctranslate2"
    try:
        summary = _folder.write_folder(
            engine, lambda place: ctranslate2.write(loaded.task, loaded.sections, paths, place)
        )
        print(summary, file=sys.stderr)
    except Exception as error:  # the package may be installed only for the other Python; an earlier export is used then
        if not (engine / "model.bin").exists():
            print(f"no export for CTranslate2: {error}", file=sys.stderr)
    setup = {
        "saved_model": str(result.saved_model.resolve()),
        "ctranslate2": str(engine),
        "texts": texts,
        "normalized": normalized,
        "batch_rows": batch_rows,
        "beam_size": decode.beam_size,
        "length_penalty": decode.length_penalty,
        "patience": decode.patience,
        "max_length": decode.max_length,
        "max_ratio": decode.max_ratio,
        "max_extra": decode.max_extra,
        "model": loaded.sections["train"].model.model_dump(mode="json"),
    }
    (folder / "decoding.json").write_text(json.dumps(setup, ensure_ascii=False), encoding="utf-8")
    return setup, references


def weights(model):
    """A transformer's weights as arrays by name: kernels [D, K] of the separate projections."""
    import numpy as np
    from keras import ops

    from textpipe.layers.positions import sinusoidal

    config = model.config
    assert (config.norm, config.positions, config.activation) == ("pre", "sinusoidal", "relu"), "see the docstring"
    assert config.share_embeddings and config.tie_embeddings, "see the docstring"
    arrays = {
        "table": ops.convert_to_numpy(model.target_embedding),
        "places": ops.convert_to_numpy(sinusoidal(np.arange(1024), config.d_model)),
    }

    def linear(layer, *names):
        kernels = np.split(ops.convert_to_numpy(layer.kernel), len(names), axis=1)
        biases = np.split(ops.convert_to_numpy(layer.bias), len(names))
        for name, kernel, bias in zip(names, kernels, biases, strict=True):
            arrays[f"{name}.kernel"], arrays[f"{name}.bias"] = kernel, bias

    def norm(layer, name):
        arrays[f"{name}.gain"], arrays[f"{name}.shift"] = map(ops.convert_to_numpy, (layer.gain, layer.shift))

    for side, blocks, last in (
        ("encoder", model.encoder, model.encoder_norm),
        ("decoder", model.decoder, model.decoder_norm),
    ):
        norm(last, f"{side}.norm")
        for number, block in enumerate(blocks):
            name = f"{side}.{number}"
            linear(
                block.self_attention.input_linear,
                *(f"{name}.self_attention.{part}" for part in ("query", "key", "value")),
            )
            linear(block.self_attention.output_linear, f"{name}.self_attention.out")
            if block.cross_attention is not None:
                linear(block.cross_attention.input_linear, f"{name}.memory.query")
                linear(block.cross_attention.memory_linear, f"{name}.memory.key", f"{name}.memory.value")
                linear(block.cross_attention.output_linear, f"{name}.memory.out")
            linear(block.feed_forward.inner_linear, f"{name}.inner")
            linear(block.feed_forward.output_linear, f"{name}.outer")
            for place, layer in enumerate(block.norms):
                norm(layer, f"{name}.norms.{place}")
    return arrays


def bleu(folder, name, references):
    """Lowercased BLEU of a worker's output, after joining subword pieces."""
    import sacrebleu
    import sentencepiece

    answers = (folder / f"answers.{name}").read_text(encoding="utf-8").splitlines()
    if name in ("opennmt-tf", "joeynmt"):
        join = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
        answers = [join.decode_pieces(answer.split()) for answer in answers]
    return round(sacrebleu.corpus_bleu(answers, [references], lowercase=True).score, 2), answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--artifacts", type=Path, default=Path("data/artifacts"))
    parser.add_argument("--saved-models", type=Path, default=Path("saved_models"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-rows", type=int, default=128, help="CTranslate2 gets at most 64, where it is faster")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    for key in ("ctranslate2", "opennmt", "joeynmt"):
        parser.add_argument(f"--{key}-python", default=os.environ.get(f"TEXTPIPE_{key.upper()}_PYTHON"))
    options = parser.parse_args()
    if not options.ctranslate2_python and importlib.util.find_spec("ctranslate2"):
        options.ctranslate2_python = sys.executable
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    setup, references = prepare(
        options.pipeline, folder, options.artifacts, options.saved_models, options.batch_rows, options.rows
    )
    load, environment = (
        os.getloadavg()[0],
        {"PYTHONPATH": os.pathsep.join([str(HOME.parent), os.environ.get("PYTHONPATH", "")])},
    )
    workers = {
        OURS: Worker(
            OURS,
            sys.executable,
            "decode_textpipe.py",
            folder,
            log=folder / "decode_textpipe.log",
            environment=environment,
        )
    }
    for name, (key, script, words) in PEERS.items():
        if python := getattr(options, f"{key}_python"):
            variables = environment if python == sys.executable else {}
            workers[name] = Worker(
                name, python, script, folder, *words, log=folder / f"decode_{name}.log", environment=variables
            )
    try:
        for worker in workers.values():
            worker.window(0)  # warm-up: memory and kernel planning
        windows_of = {name: [] for name in workers}
        for number in range(options.rounds):
            for name in list(workers) if number % 2 == 0 else reversed(workers):
                window = workers[name].window(0)
                windows_of[name].append(window)
                print(
                    f"round {number + 1} {name:<20} {window['sentences'] / window['seconds']:7.0f} /s",
                    file=sys.stderr,
                    flush=True,
                )
    finally:
        for worker in workers.values():
            worker.end()
    speeds = {
        name: [window["sentences"] / window["seconds"] for window in windows] for name, windows in windows_of.items()
    }
    scores = {name: bleu(folder, name, references) for name in windows_of}
    mine = scores[OURS][1]
    result = {
        "settings": {name: value for name, value in setup.items() if name in SETTINGS},
        "sentences": len(setup["texts"]),
        "sentences_per_second": {name: spread(values, 1) for name, values in speeds.items()},
        "ratio_to": {
            name: spread([ours / theirs for ours, theirs in zip(speeds[OURS], values, strict=True)])
            for name, values in speeds.items()
            if name != OURS
        },
        "bleu_lowercased": {name: score for name, (score, _) in scores.items()},
        "answers_equal_to_textpipe": {
            name: round(sum(a == b for a, b in zip(mine, answers, strict=True)) / len(mine), 3)
            for name, (_, answers) in scores.items()
        },
        "peak_mb": {name: max(window["peak_mb"] for window in windows) for name, windows in windows_of.items()},
        "workers": {name: worker.about for name, worker in workers.items()},
        "left_out": [name for name in PEERS if name not in workers],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_before": round(load, 2),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
