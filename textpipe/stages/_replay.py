"""Answer golden rows with an exported model and compare: run by path, with TensorFlow and TensorFlow Text alone.

    echo '{"folder": MODEL_DIR, "batch_rows": 64}' | python -I _replay.py

The request is read once TensorFlow is imported, so that the process can be started while the model is still written. It prints {"rows": n, "faults": ["row 3: answer 'x' where training-side code gave 'y'", ...], "doubts": [...]}. A doubt is a
row of which the searched answers alone differ: {"at": 3, "faults": [...], "answers": {signature: {"texts", "scores"}}}.
Rounding may have done it, which only training-side code can tell (_rounding.py). A fault of this script's own is a
traceback and another exit status.
"""

import importlib.util
import json
import math
import sys
from pathlib import Path

RELATIVE, ABSOLUTE = 1e-5, 1e-6
MAX_SHOWN = 10


def import_tensorflow():
    """TensorFlow with TensorFlow Text's ops; imports of textpipe and Keras fail from here on, for a server has neither."""
    sys.modules["textpipe"] = sys.modules["keras"] = None
    import tensorflow as tf

    (place,) = importlib.util.find_spec("tensorflow_text").submodule_search_locations
    for library in sorted(Path(place).glob("python/ops/_*.so")):
        tf.load_op_library(str(library))
    return tf


def replay(tf, folder, batch_rows):
    """(rows, faults, doubts) of a model directory."""
    loaded = tf.saved_model.load(str(folder))
    about = json.loads((folder / "textpipe.json").read_text(encoding="utf-8"))
    described, sources = about["signatures"], about["inputs"]
    target = next(field["name"] for field in about["fields"] if field["side"] == "target")
    kinds = {name: one for part in described.values() for name, one in part["inputs"].items() if name in sources}
    lines = (folder / "assets.extra/golden.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    standard = defaults(tf, folder)
    faults, doubts = [], []
    for start in range(0, len(rows), batch_rows):
        batch = rows[start : start + batch_rows]
        fields = {name: to_tensor(tf, kinds[name], [row["raw"][name] for row in batch]) for name in sources}
        fields[target] = tf.constant([row["texts"][0].encode() for row in batch])  # what training-side code gave
        found = {}
        for name in sorted(loaded.signatures, key=lambda name: described[name]["follows"] is not None):
            inputs, given = described[name]["inputs"], dict(standard.get(name, {}))
            if described[name]["follows"]:  # from where that one led
                led = found[described[name]["follows"]]
                given |= {key: tf.constant(led[key]) for key in inputs}
            for key, one in inputs.items():
                if one["kind"] == "examples":
                    given[key] = to_examples(tf, {name: fields[name] for name in sources})
                elif key in fields and key not in given:
                    given[key] = fields[key]
            found[name] = {key: value.numpy() for key, value in loaded.signatures[name](**given).items()}
        for at, row in enumerate(batch):
            outputs = {name: {key: value[at] for key, value in part.items()} for name, part in found.items()}
            certain, doubtful = compare_row(start + at, row, outputs, described)
            faults += certain
            doubts += doubtful
    return len(rows), faults + [f"saved with the Keras object {name}" for name in keras_objects(folder)], doubts


def graphs(folder):
    """The MetaGraphDefs of a model directory."""
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs


def defaults(tf, folder):
    """What a server gives to inputs that a request leaves out: {signature: {input: tensor}}."""
    return {
        name: {key: tf.constant(tf.make_ndarray(value)) for key, value in signature.defaults.items()}
        for graph in graphs(folder)
        for name, signature in graph.signature_def.items()
    }


def keras_objects(folder):
    """Objects that a loader would rebuild through Keras."""
    identifiers = {node.user_object.identifier for graph in graphs(folder) for node in graph.object_graph_def.nodes}
    return sorted(name for name in identifiers if "keras" in name)


def to_tensor(tf, one, cells):
    """Cells of JSON as an input takes them: [B, ...]; a number that is missing is NaN."""
    if one["dtype"] == "string":
        return tf.constant([cell.encode("utf-8", "surrogatepass") for cell in cells])
    return tf.constant([math.nan if cell is None else cell for cell in cells], one["dtype"])


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
    """(faults, doubts) of a row's outputs by signature; described: the signatures of textpipe.json."""
    place = f"row {at} {describe_row(row)}"
    giving = {name: described[name]["gives"] for name in outputs}
    features = [one for name, one in outputs.items() if giving[name] == "features"]
    likelihoods = [one for name, one in outputs.items() if giving[name] == "likelihood"]
    answers = {name: one for name, one in outputs.items() if giving[name] == "answer"}
    certain = [f"{place}: {fault}" for one in features for fault in feature_differences(row, one)]
    certain += [f"{place}: {fault}" for fault in probability_differences(row, answers)]
    answers = {name: ranked_answers(one) for name, one in answers.items() if "answer" in one or "texts" in one}
    doubtful = [f"{place}: {fault}" for name, one in answers.items() for fault in answer_differences(row, name, one)]
    given = [f"{place}: {fault}" for one in likelihoods for fault in likelihood_differences(row, one)]
    if doubtful and not certain + given and "probabilities" not in row:
        return [], [{"at": at, "faults": doubtful, "answers": answers}]
    return certain + doubtful or given, []


def describe_row(row):
    """A row as a message shows it: its text, or its fields."""
    raw = row["raw"]
    if len(raw) == 1:
        return repr(str(*raw.values())[:60])
    return ", ".join(f"{name} {str(cell)[:40]!r}" for name, cell in raw.items())


def ranked_answers(outputs):
    """A row's answers, best first: {"texts": [...], "scores": [...]}; "single" where there is no more than the best."""
    if "answer" in outputs:
        return {"texts": [outputs["answer"].decode()], "scores": [float(outputs["score"])], "single": True}
    return {"texts": [text.decode() for text in outputs["texts"]], "scores": outputs["scores"].tolist()}


def answer_differences(row, name, answers):
    """Where a signature's answers to a row are not the first of those training-side code gave."""
    ranked, texts, scores = answers["scores"], row["texts"], row["scores"]
    single = answers.get("single", False)
    if single:
        wanted = scores[:1]
        if not all_close(ranked, wanted):
            yield f"score {ranked[0]} where training-side code gave {scores[0]}"
    else:
        wanted = scores
        if not all_close(ranked, wanted):
            yield f"{name} scores {ranked} where training-side code gave {scores}"
    # Answers of equal score may change places.
    for text, score in zip(answers["texts"], wanted):
        if not any(text == other and all_close([score], [mine]) for other, mine in zip(texts, scores)):
            of_it, gave = ("answer", texts[0]) if single else (name, texts)
            yield f"{of_it} {text!r} where training-side code gave {gave!r}"


def feature_differences(row, features):
    """Where what a row is made of is not what training-side code made of it."""
    for field, made in row["features"].items():
        place, prefix = ("", "") if len(row["features"]) == 1 else (f"{field}: ", f"{field}.")
        if "ids" in made:
            ids = strip_padding(features[f"{prefix}ids"].tolist(), 0)
            if ids != made["ids"]:
                yield f"{place}ids {ids} where training had {made['ids']}"
            continue
        values = features[f"{prefix}values"].tolist()
        if "indices" in made:
            indices = strip_padding(features[f"{prefix}indices"].tolist(), -1)
            values = values[: len(indices)]
            if indices != made["indices"]:
                yield f"{place}feature indices {indices} where training had {made['indices']}"
                continue
        if not all_close(flatten(values), flatten(made["values"])):
            yield f"{place}feature values {values} where training had {made['values']}"


def flatten(values):
    """Numbers of any nesting as one list."""
    return [one for part in values for one in flatten(part)] if isinstance(values, list) else [values]


def probability_differences(row, answers):
    """Where classes are not as probable as training-side code holds them, or one signature says otherwise than another."""
    if "probabilities" not in row:
        return
    for name, answer in answers.items():
        if "probabilities" not in answer:
            continue
        if not all_close(answer["probabilities"].tolist(), row["probabilities"]):
            found = answer["probabilities"].tolist()
            yield f"probabilities {found} where training-side code gave {row['probabilities']}"
        for other, classified in answers.items():
            if "classes" not in classified:
                continue
            if classified["scores"].tolist() != answer["probabilities"].tolist():
                yield f"{other} gives other scores than {name}"
            if classified["classes"].tolist() != answer["labels"].tolist():
                yield f"{other} gives other classes than {name}"


def likelihood_differences(row, outputs):
    """Where a given answer is not as probable as training-side code holds it."""
    found = float(outputs["log_prob"])
    if not all_close([found], [row["log_prob"]]):
        yield f"log-probability {found} of {row['texts'][0]!r} where training-side code gave {row['log_prob']}"


def strip_padding(values, padding):
    """A row without the padding at its end."""
    while values and values[-1] == padding:
        values.pop()
    return values


def all_close(found, expected):
    """Whether two lists of numbers agree but for rounding."""
    return len(found) == len(expected) and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in zip(found, expected)
    )


def main():
    """Replay and print what was found."""
    tf = import_tensorflow()
    line = sys.stdin.readline()
    if not line:  # whoever started this has given up
        return
    request = json.loads(line)
    rows, faults, doubts = replay(tf, Path(request["folder"]), request["batch_rows"])
    more = max(0, len(faults) - MAX_SHOWN)
    print(json.dumps({"rows": rows, "faults": faults[:MAX_SHOWN], "more": more, "doubts": doubts}))


if __name__ == "__main__":
    main()
