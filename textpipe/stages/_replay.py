"""Answer golden rows with an exported model and compare. Runs as a script, with TensorFlow and TensorFlow Text only.

    echo '{"folder": MODEL_DIR, "batch_rows": 64}' | python -I _replay.py

The request is read after TensorFlow is imported, so that the process can start while the model is still being written.
It prints {"rows": n, "faults": ["row 3: answer 'x' where training-side code gave 'y'", ...], "doubts": [...]}. A doubt
is a row where only the searched answers or their likelihoods differ: {"at": 3, "faults": [...], "answers": {signature:
{"texts", "scores"}}, "log_probs": [-7.1] where likelihoods differ, else []}. Rounding may explain it, which only training-side code can
check (_rounding.py). If the script itself fails, it leaves a traceback and another exit status.
"""

import base64
import importlib.util
import json
import math
import sys
from pathlib import Path

RELATIVE, ABSOLUTE = 1e-5, 1e-6
MAX_SHOWN = 10


def import_tensorflow():
    """TensorFlow with TensorFlow Text's ops. Imports of textpipe and Keras fail from here on, as a server has neither."""
    sys.modules["textpipe"] = sys.modules["keras"] = None
    import tensorflow as tf

    (folder,) = importlib.util.find_spec("tensorflow_text").submodule_search_locations
    for library in sorted(Path(folder).glob("python/ops/_*.so")):
        tf.load_op_library(str(library))
    return tf


def replay(tf, folder, batch_rows):
    """(rows, faults, doubts) of a model directory."""
    loaded = tf.saved_model.load(str(folder))
    about = json.loads((folder / "textpipe.json").read_text(encoding="utf-8"))
    described, sources = about["signatures"], about["inputs"]
    target = next(field["name"] for field in about["fields"] if field["side"] == "target")
    kinds = {name: spec for table in described.values() for name, spec in table["inputs"].items() if name in sources}
    lines = (folder / "assets.extra/golden.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    standard = defaults(tf, folder)
    faults, doubts = [], []
    for start in range(0, len(rows), batch_rows):
        batch = rows[start : start + batch_rows]
        fields = {name: to_tensor(tf, kinds[name], [row["raw"][name] for row in batch]) for name in sources}
        fields[target] = tf.constant([row["texts"][0].encode() for row in batch])  # training-side answers
        results = {}
        for name in sorted(loaded.signatures, key=lambda name: described[name]["follows"] is not None):
            specs, inputs = described[name]["inputs"], dict(standard.get(name, {}))
            if described[name]["follows"]:  # continues from the outputs of that signature
                state = results[described[name]["follows"]]
                inputs |= {key: tf.constant(state[key]) for key in specs}
            for key, spec in specs.items():
                if spec["kind"] == "examples":
                    inputs[key] = to_examples(tf, {name: fields[name] for name in sources})
                elif spec["kind"] == "candidates":
                    inputs[key] = tf.constant([[text.encode() for text in row["texts"]] for row in batch])
                elif key in fields and key not in inputs:
                    inputs[key] = fields[key]
            results[name] = {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}
        for at, row in enumerate(batch):
            outputs = {name: {key: value[at] for key, value in tensors.items()} for name, tensors in results.items()}
            certain, doubtful = compare_row(start + at, row, outputs, described)
            faults += certain
            doubts += doubtful
    return len(rows), faults + [f"saved with the Keras object {name}" for name in keras_objects(folder)], doubts


def graphs(folder):
    """The MetaGraphDefs of a model directory."""
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs


def defaults(tf, folder):
    """The values a server fills in for inputs that a request omits: {signature: {input: tensor}}."""
    return {
        name: {key: tf.constant(tf.make_ndarray(value)) for key, value in signature.defaults.items()}
        for graph in graphs(folder)
        for name, signature in graph.signature_def.items()
    }


def keras_objects(folder):
    """Names of saved objects that a loader would rebuild with Keras."""
    identifiers = {node.user_object.identifier for graph in graphs(folder) for node in graph.object_graph_def.nodes}
    return sorted(name for name in identifiers if "keras" in name)


def to_tensor(tf, spec, cells):
    """JSON cells as an input tensor [B, ...]; a missing number is NaN."""
    if spec["dtype"] == "string":
        return tf.constant([to_bytes(cell) for cell in cells])
    return tf.constant([math.nan if cell is None else cell for cell in cells], spec["dtype"])


def to_bytes(cell):
    """The bytes of a JSON cell: a text, or {"b64": ...}."""
    return base64.b64decode(cell["b64"]) if isinstance(cell, dict) else cell.encode("utf-8", "surrogatepass")


def to_examples(tf, fields):
    """Serialized tf.Examples of the source fields, {name: [B]}."""
    out = []
    for cells in zip(*(values.numpy().tolist() for values in fields.values())):
        feature = {}
        for name, cell in zip(fields, cells):
            if isinstance(cell, bytes):
                feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[cell]))
            else:
                feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[cell]))
        out.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return tf.constant(out)


def compare_row(at, row, outputs, described):
    """(faults, doubts) of a row. outputs: by signature; described: the signatures of textpipe.json."""
    place = f"row {at + 1} {describe_row(row)}"
    gives = {name: described[name]["gives"] for name in outputs}
    features = [output for name, output in outputs.items() if gives[name] == "features"]
    likelihoods = [output for name, output in outputs.items() if gives[name] == "likelihood"]
    answers = {name: output for name, output in outputs.items() if gives[name] == "answer"}
    certain = [f"{place}: {fault}" for output in features for fault in feature_differences(row, output)]
    certain += [f"{place}: {fault}" for fault in probability_differences(row, answers)]
    certain += [f"{place}: {fault}" for fault in trigger_differences(row, answers)]
    certain += [f"{place}: {fault}" for name in outputs for fault in candidate_differences(row, name, outputs[name])]
    answers = {name: output for name, output in answers.items() if output.get("fires", True)}
    answers = {name: ranked_answers(output) for name, output in answers.items() if {"answer", "texts"} & output.keys()}
    doubtful = [
        f"{place}: {fault}" for name, answer in answers.items() for fault in answer_differences(row, name, answer)
    ]
    likelihood = [f"{place}: {fault}" for output in likelihoods for fault in likelihood_differences(row, output)]
    if doubtful + likelihood and not certain and "probabilities" not in row:
        log_probs = [float(output["log_prob"]) for output in likelihoods] if likelihood else []
        return [], [{"at": at, "faults": doubtful or likelihood, "answers": answers, "log_probs": log_probs}]
    return certain + doubtful or likelihood, []


def describe_row(row):
    """A row as messages show it: its text, or its fields."""
    raw = row["raw"]
    if len(raw) == 1:
        return repr(str(*raw.values())[:60])
    return ", ".join(f"{name} {str(cell)[:40]!r}" for name, cell in raw.items())


def ranked_answers(outputs):
    """A row's answers, best first: {"texts": [...], "scores": [...]}; with "single" where only the best is given."""
    if "answer" in outputs:
        return {"texts": [outputs["answer"].decode()], "scores": [float(outputs["score"])], "single": True}
    return {"texts": [text.decode() for text in outputs["texts"]], "scores": outputs["scores"].tolist()}


def answer_differences(row, name, answers):
    """Yield where a signature's answers to a row differ from the first ones of training-side code."""
    ranked, texts, scores = answers["scores"], row["texts"], row["scores"]
    single = answers.get("single", False)
    if single:
        expected = scores[:1]
        if not all_close(ranked, expected):
            yield f"score {ranked[0]} where training-side code gave {scores[0]}"
    else:
        expected = scores
        if not all_close(ranked, expected):
            yield f"{name} scores {ranked} where training-side code gave {scores}"
    # Answers of equal score may swap places, also with those that are no longer listed.
    listed = [*zip(texts, scores), *((text, scores[-1]) for text in row.get("tied", ()))]
    for text, score in zip(answers["texts"], expected):
        if not any(text == other and all_close([score], [value]) for other, value in listed):
            subject, reference = ("answer", texts[0]) if single else (name, texts)
            yield f"{subject} {text!r} where training-side code gave {reference!r}"


def feature_differences(row, features):
    """Yield where a row's features differ from those of training-side code."""
    for field, expected in row["features"].items():
        place, prefix = ("", "") if len(row["features"]) == 1 else (f"{field}: ", f"{field}.")
        if "ids" in expected:
            ids = strip_padding(features[f"{prefix}ids"].tolist(), 0)
            if ids != expected["ids"]:
                yield f"{place}ids {ids} where training had {expected['ids']}"
            continue
        if "bytes" in expected:
            if features[f"{prefix}bytes"].tobytes() != to_bytes(expected["bytes"]):
                yield f"{place}bytes that differ from those of training"
            continue
        values = features[f"{prefix}values"].tolist()
        if "indices" in expected:
            indices = strip_padding(features[f"{prefix}indices"].tolist(), -1)
            values = values[: len(indices)]
            if indices != expected["indices"]:
                yield f"{place}feature indices {indices} where training had {expected['indices']}"
                continue
        if not all_close(flatten(values), flatten(expected["values"])):
            yield f"{place}feature values {values} where training had {expected['values']}"


def flatten(values):
    """Nested lists of numbers as one list."""
    return [number for value in values for number in flatten(value)] if isinstance(values, list) else [values]


def probability_differences(row, answers):
    """Yield where class probabilities differ from training-side code, or between signatures."""
    if "probabilities" not in row:
        return
    for name, answer in answers.items():
        if "probabilities" not in answer:
            continue
        if not all_close(answer["probabilities"].tolist(), row["probabilities"]):
            yield f"probabilities {answer['probabilities'].tolist()} where training-side code gave {row['probabilities']}"
        for other, classified in answers.items():
            if "classes" not in classified:
                continue
            if classified["scores"].tolist() != answer["probabilities"].tolist():
                yield f"{other} has different scores from {name}"
            if classified["classes"].tolist() != answer["labels"].tolist():
                yield f"{other} has different classes from {name}"


def trigger_differences(row, answers):
    """Yield where the trigger's probability differs from training-side code, or the answer does not follow from it."""
    for name, answer in answers.items():
        if "fires" not in answer:
            continue
        expected, threshold = row["trigger"]["probability"], row["trigger"]["threshold"]
        probability, fires = float(answer["probability"]), bool(answer["fires"])
        if not all_close([probability], [expected]):
            yield f"{name} has a trigger's probability of {probability} where training-side code gave {expected}"
        if fires != (expected >= threshold) and not all_close([expected], [threshold]):
            yield f"{name} fires: {fires}, at a probability of {expected} and a threshold of {threshold}"
        if not fires and (any(answer["replies"]) or any(answer["scores"])):
            yield f"{name} has replies to a message that the trigger does not choose"


def candidate_differences(row, name, output):
    """Yield where the log-probabilities of given candidates, the texts of the row, differ from training-side code."""
    if "candidates" in row and output.keys() == {"log_probs"}:
        log_probs = output["log_probs"].tolist()
        if not all_close(log_probs, row["candidates"]):
            yield f"{name} gives its texts {log_probs} where training-side code gave {row['candidates']}"


def likelihood_differences(row, outputs):
    """Yield where the log-probability of a given answer differs from training-side code."""
    log_prob = float(outputs["log_prob"])
    # A relative difference between probabilities is an absolute one between their logarithms.
    if not all_close([log_prob], [row["log_prob"]], absolute=RELATIVE):
        yield f"log-probability {log_prob} of {row['texts'][0]!r} where training-side code gave {row['log_prob']}"


def strip_padding(values, padding):
    """A row without its trailing padding."""
    while values and values[-1] == padding:
        values.pop()
    return values


def all_close(values, expected, absolute=ABSOLUTE):
    """Whether two lists of numbers agree up to rounding."""
    return len(values) == len(expected) and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=absolute) for a, b in zip(values, expected)
    )


def main():
    """Read a request, replay and print the result."""
    tf = import_tensorflow()
    line = sys.stdin.readline()
    if not line:  # the parent process has given up
        return
    request = json.loads(line)
    rows, faults, doubts = replay(tf, Path(request["folder"]), request["batch_rows"])
    more = max(0, len(faults) - MAX_SHOWN)
    print(json.dumps({"rows": rows, "faults": faults[:MAX_SHOWN], "more": more, "doubts": doubts}))


if __name__ == "__main__":
    main()
