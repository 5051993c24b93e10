"""Answer golden rows with an exported model and compare: run by path, with TensorFlow and TensorFlow Text alone.

    python -I _replay.py MODEL_DIR ROWS_PER_BATCH

Prints {"rows": n, "faults": ["row 3: answer 'x' where training-side code gave 'y'", ...]}. A fault of this script's own
is a traceback and another exit status.
"""

import json
import math
import sys
from pathlib import Path

RELATIVE, ABSOLUTE = 1e-5, 1e-6
SHOWN = 10


def replay(folder, batch_rows):
    """(rows, faults) of a model directory."""
    sys.modules["textpipe"] = None  # its import fails from here on: a server has no textpipe
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    loaded = tf.saved_model.load(str(folder))
    about = json.loads((folder / "textpipe.json").read_text(encoding="utf-8"))
    (source,) = about["inputs"]
    target = next(field["name"] for field in about["fields"] if field["side"] == "target")
    lines = (folder / "assets.extra/golden.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    standard = defaults(tf, folder)
    faults = []
    for start in range(0, len(rows), batch_rows):
        batch = rows[start : start + batch_rows]
        texts = tf.constant([row["text"].encode("utf-8", "surrogatepass") for row in batch])
        found = {}
        for name in sorted(loaded.signatures, key="advance".__eq__):
            function = loaded.signatures[name]
            if name == "advance":  # from where "begin" led
                given = {key: tf.constant(value) for key, value in found["begin"].items()}
            elif name == "classify":
                given = {"inputs": examples(tf, source, texts)}
            elif name == "score" or (name == "tokens" and about["labels"] is None):  # of what training-side code gave
                given = {source: texts, target: tf.constant([row["texts"][0].encode() for row in batch])}
            else:
                given = {source: texts, **standard.get(name, {})}
            found[name] = {key: value.numpy() for key, value in function(**given).items()}
        for at, row in enumerate(batch):
            outputs = {name: {key: value[at] for key, value in part.items()} for name, part in found.items()}
            faults += [f"row {start + at} {row['text'][:60]!r}: {fault}" for fault in differences(row, outputs)]
    return len(rows), faults + [f"saved with the Keras object {name}" for name in keras_objects(folder)]


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
    """Objects that a loader would rebuild through Keras.

    TensorFlow Text imports Keras itself, so whether the module was imported says nothing.
    """
    identifiers = {node.user_object.identifier for graph in graphs(folder) for node in graph.object_graph_def.nodes}
    return sorted(name for name in identifiers if "keras" in name)


def examples(tf, source, texts):
    """Serialized tf.Examples of texts [B]."""
    out = []
    for text in texts.numpy():
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
        out.append(tf.train.Example(features=tf.train.Features(feature={source: feature})).SerializeToString())
    return tf.constant(out)


def differences(row, outputs):
    """Where the outputs of a row, by signature, are not those of training-side code."""
    features, answer = outputs["features"], outputs["serving_default"]
    if "ids" in row:
        ids = trimmed(features["ids"].tolist(), 0)
        if ids != row["ids"]:
            yield f"ids {ids} where training had {row['ids']}"
    else:
        indices = trimmed(features["indices"].tolist(), -1)
        values = features["values"].tolist()[: len(indices)]
        if indices != row["indices"]:
            yield f"feature indices {indices} where training had {row['indices']}"
        elif not all_close(values, row["values"]):
            yield f"feature values {values} where training had {row['values']}"
    given, score = answer["answer"].decode(), float(answer["score"])
    texts, scores = row["texts"], row["scores"]
    if not all_close([score], scores[:1]):
        yield f"score {score} where training-side code gave {scores[0]}"
    # Two answers of equal score may change places: either is the best one.
    if not any(given == text and all_close([scores[0]], [other]) for text, other in zip(texts, scores)):
        yield f"answer {given!r} where training-side code gave {texts[0]!r}"
    elif not all_close([float(outputs["score"]["log_prob"])], [row["log_prob"]]):
        found = float(outputs["score"]["log_prob"])
        yield f"log-probability {found} of {texts[0]!r} where training-side code gave {row['log_prob']}"
    for name in sorted(outputs.keys() & {"nbest", "options"}):
        ranked = outputs[name]["scores"].tolist()
        if not all_close(ranked, scores):
            yield f"{name} scores {ranked} where training-side code gave {scores}"
        for text, score in zip(outputs[name]["texts"], ranked):
            if not any(text.decode() == other and all_close([score], [mine]) for other, mine in zip(texts, scores)):
                yield f"{name} {text.decode()!r} where training-side code gave {texts}"
    if "probabilities" in row:
        if not all_close(answer["probabilities"].tolist(), row["probabilities"]):
            found = answer["probabilities"].tolist()
            yield f"probabilities {found} where training-side code gave {row['probabilities']}"
        classified = outputs["classify"]
        if classified["scores"].tolist() != answer["probabilities"].tolist():
            yield "classify gives other scores than serving_default"
        if classified["classes"].tolist() != answer["labels"].tolist():
            yield "classify gives other classes than serving_default"


def trimmed(values, padding):
    """A row without the padding at its end."""
    while values and values[-1] == padding:
        values.pop()
    return values


def all_close(found, expected):
    """Whether two lists of numbers agree but for rounding."""
    return len(found) == len(expected) and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in zip(found, expected)
    )


def main(arguments):
    """Replay and print what was found."""
    rows, faults = replay(Path(arguments[0]), int(arguments[1]))
    print(json.dumps({"rows": rows, "faults": faults[:SHOWN], "more": max(0, len(faults) - SHOWN)}))


if __name__ == "__main__":
    main(sys.argv[1:])
