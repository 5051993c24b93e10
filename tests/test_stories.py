"""Question answering over stories: cells, features, files, and the models' equations against NumPy."""

import importlib.util
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tiny
from click.testing import CliRunner
from serving_server import running

from textpipe.cli import main
from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.formats import babi
from textpipe.data.rows import Repairs
from textpipe.errors import ConfigError, DataError
from textpipe.export_formats import litert
from textpipe.features import sentence_ids
from textpipe.kinds import sentences
from textpipe.layers import sentences as split_sentences
from textpipe.layers.linear_recurrence import linear_recurrence
from textpipe.pipeline import runner
from textpipe.savedmodel.loader import Model
from textpipe.servable.graph import Servable
from textpipe.stages import train
from textpipe.tasks import qa
from textpipe.text.codec import WordCodec
from textpipe.training.schedules import steps

STORIES = Path(__file__).resolve().parents[1] / "data" / "stories"
WORDS = ["mary", "john", "went", "garden", "office", "milk", "where"]
IDS = {word: number for number, word in enumerate(WORDS, 4)}


# Cells.


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (" Mary left.\r\n\r\n John came.\u2028Bye ", "Mary left.\nJohn came.\nBye"),
        ('["Mary left.", "John\\ncame."]', "Mary left.\nJohn\ncame."),
        ("[not a list", "[not a list"),
        *((blank, "") for blank in (" \n ", "[]", '[""]', '["", " \\n "]')),
    ],
)
def test_a_story_is_a_sentence_per_line(cell, expected):
    assert sentences.parse(cell) == expected


def test_an_entry_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="every entry must be a text"):
        sentences.parse('["a", 3]')


def test_sentences_are_normalized_one_by_one_in_columns_and_in_the_graph():
    cells = ["Ann came.\nBo", "x", "x\ny"]
    seen = []

    def in_columns(texts):
        seen.extend(texts.to_pylist())
        return pa.array([f"<{text}\n>" for text in texts.to_pylist()])

    column = sentences.map_text(pa.array(cells), in_columns)
    assert seen == ["Ann came.", "Bo", "x", "x", "y"]
    assert column.to_pylist() == ["<Ann came. >\n<Bo >", "<x >", "<x >\n<y >"]
    tensor = sentences.map_tensor(tf.constant(cells), lambda texts: tf.strings.join(["<", texts, "\n>"]))
    assert [cell.decode() for cell in tensor.numpy()] == column.to_pylist()
    assert sentences.texts(pa.array(cells)).to_pylist() == seen
    kept = sentences.map_tensor(tf.constant(["a\r\n \nb\n", "", "x\n" * 20_000]), tf.identity).numpy()
    assert kept.tolist() == [b"a\nb", b"", b"\n".join([b"x"] * sentences.MAX_SENTENCES)]


# Features.


def feature(folder, **options):
    config = Plugin.check("features", {"kind": "sentence_ids", **options})
    codec = WordCodec(WORDS)
    texts = tf.constant(["mary went office\njohn", "milk"])
    sentence_ids.learn(config, lambda: [texts], folder, "story", codec=codec)
    return sentence_ids.load(config, folder, "story", codec=codec)


def test_the_newest_sentences_and_the_first_words_are_kept(tmp_path):
    made = feature(tmp_path, max_sentences=2, max_words=2)
    story = "john went\n \nmary went office garden\nmilk"
    expected = [IDS["mary"], IDS["went"], 3, IDS["milk"], 3]
    assert made(tf.constant([story, "milk", " \n"])).numpy().tolist() == [
        expected,
        [IDS["milk"], 3, 0, 0, 0],
        [3, 0, 0, 0, 0],
    ]
    assert made.parts(tf.constant([story, " \n"])).to_list() == [[b"mary went office garden", b"milk"], [b""]]
    stats = Counter()
    (column,) = made.arrays(tf.constant([story, "milk"]), stats)
    assert column.to_pylist() == [expected, [IDS["milk"], 3]]
    assert stats == {"tokens": 7, "sentences": 3, "truncated": 1, "cut": 1, "longest": 5}
    assert (
        sentence_ids.line(stats, made.size, 2)
        == "1.5 of at most 2 sentences a row, 1 rows with older sentences left out, 1 sentences cut"
    )
    assert (made.size["train_words"], made.size["train_sentences"]) == (2, 2)
    assert made.size["tokens"][4:] == WORDS


def test_a_story_of_ten_thousand_sentences_and_a_sentence_of_ten_thousand_words_have_bounds(tmp_path):
    made = feature(tmp_path, max_sentences=50, max_words=40)
    ids = made(tf.constant(["\n".join(["mary went"] * 10_000), "milk " * 10_000])).numpy()
    assert ids.shape == (2, 150)
    assert np.count_nonzero(ids[1]) == 41


# Files.

BABI = "1 Mary left.\n2 John came.\n3 Who left? \tmary\t1\n4 Ann sat.\n5 Who sat?\tann,bo\t4\n1 Bo ran.\n2 Who ran?\tbo\t1\n"
EXPECTED = [
    ("Mary left.\nJohn came.", "Who left?", "mary", "1", "7"),
    ("Mary left.\nJohn came.\nAnn sat.", "Who sat?", "ann,bo", "3", "7"),
    ("Bo ran.", "Who ran?", "bo", "1", "7"),
]


def rows_of(source, columns=babi.COLUMNS, **options):
    config = babi.for_split(babi.Config(**options), "train")
    return [
        cells for rows in babi.read(source, config, Repairs(), columns) for cells in zip(*rows.columns, strict=True)
    ]


def test_the_files_of_the_babi_tasks_are_read_alone_in_folders_and_in_archives(tmp_path):
    file = tmp_path / "en" / "qa7_counting_train.txt"
    file.parent.mkdir()
    file.write_text(BABI, encoding="utf-8")
    (tmp_path / "en" / "qa11_x_train.txt").write_text("1 A b.\n2 C?\td\t1\n", encoding="utf-8")
    (tmp_path / "en" / "qa7_counting_test.txt").write_text("1 A b.\n2 C?\te\t1\n", encoding="utf-8")
    assert rows_of(file) == EXPECTED
    assert rows_of(tmp_path / "en") == [*EXPECTED, ("A b.", "C?", "d", "1", "11")]
    assert rows_of(tmp_path / "en", tasks=[11]) == [("A b.", "C?", "d", "1", "11")]
    assert rows_of(tmp_path / "en", ["answer"], pattern="*_test.txt") == [("e",)]
    with tarfile.open(tmp_path / "babi.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "en", "en")
    assert rows_of(tmp_path / "babi.tar.gz", tasks=[7]) == EXPECTED
    with pytest.raises(DataError, match="no file .*_train.txt of task 3; it has tasks 7, 11"):
        rows_of(tmp_path / "en", tasks=[3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mary left.\n", r"line 1: does not start with a number"),
        ("1 Where?\there\n", "line 1: a question without sentence before it"),
        ("1 Mary left.\n2 Where?\t \n", "line 2: a question without answer"),
        ("1 Mary left.\n", "no questions"),
    ],
)
def test_lines_that_are_no_story_are_named(tmp_path, text, message):
    (tmp_path / "own.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path / "own.txt")


def test_the_bundled_stories_are_those_of_their_generator(tmp_path):
    spec = importlib.util.spec_from_file_location("stories_generator", STORIES / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(tmp_path)
    files = sorted(path.name for path in STORIES.glob("*.txt"))
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((STORIES / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)
    assert sum((STORIES / name).stat().st_size for name in files) < 200_000


# Models.


def sizes(classes=("garden", "office", "nowhere"), max_sentences=6, **options):
    table = {"kind": "ids", "vocab_size": len(WORDS) + 4, "max_length": 30}
    story = {
        **table,
        "max_sentences": max_sentences,
        "max_words": 5,
        "train_words": 4,
        "tokens": ["", "", "", "", *WORDS],
        **options,
    }
    return Sizes({"story": story, "question": table}, "answer", {"kind": "label", "classes": list(classes)})


def built(kind, of=None, **options):
    """With random numbers in all weights."""
    config = Plugin.check("models", {"kind": kind, **options})
    model = plugins.find("models", kind).build(config, of or sizes(), seed=1)
    random = np.random.default_rng(3)
    for weight in model.trainable_variables:
        weight.assign(random.normal(scale=0.5, size=weight.shape))
    return model


STORY = [[[4, 6, 7], [5, 6]], [[9], [4], [5, 6, 8, 9]]]
QUESTION = [[10, 4], [10, 5, 6]]


def flat(rows):
    """Sentences as rows of ids, each sentence with its end id: [[[7, 8], [9]]] -> [[7, 8, 3, 9, 3]]."""
    joined = [[token for sentence in row for token in (*sentence, 3)] for row in rows]
    width = max(map(len, joined))
    return np.array([row + [0] * (width - len(row)) for row in joined], np.int32)


def inputs():
    return {"story": flat(STORY), "question": flat([[row] for row in QUESTION])}


def encoded(table, words, longest=4):
    """The formula of Sukhbaatar et al. 2015, word by word and entry by entry."""
    size = table.shape[1]
    return sum(
        (
            table[word]
            * [1 + 4 * (i - (size + 1) / 2) * (j - (longest + 1) / 2) / (size * longest) for i in range(1, size + 1)]
            for j, word in enumerate(words, 1)
        ),
        np.zeros(size),
    )


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def values(model):
    return {weight.path.split("/", 1)[-1]: weight.numpy().astype(np.float64) for weight in model.trainable_variables}


@pytest.mark.parametrize("linear", [False, True])
def test_a_memory_network_is_its_equations(linear):
    model = built("memory_network", size=3, hops=2, linear_start=2)
    model.start_epoch(2 if linear else 3)
    w = values(model)
    logits, weights = model.attend(inputs())
    for row, (story, question) in enumerate(zip(STORY, QUESTION, strict=True)):
        u = encoded(w["embedding_0"], question)
        for hop in range(2):

            def memories(number, story=story):
                ages = range(len(story), 0, -1)
                pairs = zip(story, ages, strict=True)
                return np.array(
                    [encoded(w[f"embedding_{number}"], words) + w[f"time_{number}"][age] for words, age in pairs]
                )

            scores = memories(hop) @ u
            slots = np.concatenate([scores, np.zeros(6 - len(scores))])
            p = scores if linear else (np.exp(slots) / np.exp(slots).sum())[: len(scores)]
            np.testing.assert_allclose(weights[row, hop, : len(p)], p, rtol=2e-5, atol=1e-6)
            u = u + p @ memories(hop + 1)
        answers = np.stack([w["embedding_2"][7], w["embedding_2"][8], w["answers"][0]])  # garden and office are words
        np.testing.assert_allclose(logits[row], answers @ u, rtol=1e-4, atol=1e-5)


def test_two_answers_have_one_logit_the_difference():
    model = built("memory_network", of=sizes(("garden", "nowhere")), size=3, hops=1)
    three = built("memory_network", of=sizes(("garden", "nowhere", "office")), size=3, hops=1)
    for weight, other in zip(model.trainable_variables, three.trainable_variables, strict=True):
        weight.assign(other)
    logits = three(inputs()).numpy()
    np.testing.assert_allclose(model(inputs())[:, 0], logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-5)


def test_empty_memories_make_sentences_older_in_training_only():
    model = built("memory_network", size=3, hops=1, empty_memories=1.0)
    story = split_sentences.split(tf.constant(np.repeat(flat([[[4]] * 4]), 500, axis=0)))
    ages = model.ages(story, training=True).numpy()
    assert model.ages(story, training=False).numpy()[0].tolist() == [4, 3, 2, 1]
    assert (np.diff(ages, axis=1) < 0).all()
    added = ages[:, 0] - 4
    assert set(np.unique(added)) <= {0, 1, 2, 3, 4} and added.max() == 4  # as many as sentences, at any place
    # Each number of empty memories is as likely as any other, and each is older than the oldest sentence with 1 / 5.
    assert abs(added.mean() - 2 * 4 / 5) < 0.2


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_a_scan_is_the_recurrence_and_so_is_its_gradient(reverse, width):
    random = np.random.default_rng(0)
    decay, update = tf.Variable(random.random((2, 7, width))), tf.Variable(random.normal(size=(2, 7, 3)))
    weights = random.normal(size=(2, 7, 3))

    def loop():
        h, states = tf.zeros((2, 3), tf.float64), {}
        for t in reversed(range(7)) if reverse else range(7):
            states[t] = h = decay[:, t] * h + update[:, t]
        return tf.stack([states[t] for t in range(7)], axis=1)

    found = []
    for run in (loop, lambda: linear_recurrence(decay.value(), update.value(), most=9, reverse=reverse)):
        with tf.GradientTape() as tape:
            states = run()
            total = tf.reduce_sum(states * weights)
        found.append([states, *tape.gradient(total, [decay, update])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("reset", [False, True, "directions"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_query_reduction_has_no_weight_that_is_not_read(reset, bidirectional):
    model = built("query_reduction", size=3, layers=2, reset=reset, bidirectional=bidirectional)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs()) ** 2)
    weights = [weight for weight in model.weights if not weight.path.endswith("embedding")]
    for weight, gradient in zip(weights, tape.gradient(loss, [one.value for one in weights]), strict=True):
        assert np.abs(np.atleast_2d(gradient)).sum(axis=0).all(), weight.path


@pytest.mark.parametrize("reset", ["direction", 2, None])
def test_a_reset_that_does_not_exist_is_refused(reset):
    with pytest.raises(ValueError, match='reset: expected true, false or "directions", found'):
        built("query_reduction", reset=reset)


@pytest.mark.parametrize("tie_layers", [False, True])
@pytest.mark.parametrize("reset", [False, True, "directions"])
def test_query_reduction_is_its_equations(reset, tie_layers):
    settings = {"reset": reset, "tie_layers": tie_layers, "init_stddev": 1.0, "sentence_scale": 0.5}
    model = built("query_reduction", size=3, layers=2, **settings)
    w = values(model)
    logits, opened = model.attend(inputs())
    for row, (story, question) in enumerate(zip(STORY, QUESTION, strict=True)):
        x = [encoded(w["embedding"] / 2, words) for words in story]
        queries = [encoded(w["embedding"] / 2, question)] * len(x)
        for layer in ("layer_0", "layer_1"):
            prefix = "layer_0/" if tie_layers else f"{layer}/"
            at = {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}
            last = layer == "layer_1"
            gates = [sigmoid(s * q @ at["gate_kernel"] + at["gate_bias"]) for s, q in zip(x, queries, strict=True)]
            if not reset or (reset == "directions" and last):
                resets = np.ones((2, len(x), 3))
            else:  # [2, S, D]: a forward gate and a backward gate
                both = [sigmoid(s * q @ at["reset_kernel"] + at["reset_bias"]) for s, q in zip(x, queries, strict=True)]
                resets = np.array([np.split(gate, 2) if reset == "directions" else [gate] * 2 for gate in both])
                resets = resets.transpose(1, 0, 2)
            made = [
                np.tanh(np.concatenate([s, q]) @ at["kernel"] + at["bias"]) for s, q in zip(x, queries, strict=True)
            ]
            states = []
            for order, passed in zip((range(len(x)), reversed(range(len(x)))), resets, strict=True):
                h, found = np.zeros(3), {}
                for t in order:
                    found[t] = h = gates[t] * passed[t] * made[t] + (1 - gates[t]) * h
                states.append([found[t] for t in range(len(x))])
            np.testing.assert_allclose(opened[row, int(layer[-1]), : len(x)], np.mean(gates, axis=1), rtol=1e-5)
            forward, backward = states
            queries = forward if last else [one + other for one, other in zip(forward, backward, strict=True)]
        np.testing.assert_allclose(
            logits[row], queries[-1] @ w["output_linear/kernel"] + w["bias"], rtol=1e-4, atol=1e-5
        )


def test_an_entity_network_is_its_equations():
    model = built("entity_network", size=3, slots=2)
    w = values(model)
    logits, gates = model.attend(inputs())

    def prelu(value, slope):
        return np.where(value > 0, value, slope * value)

    for row, (story, question) in enumerate(zip(STORY, QUESTION, strict=True)):
        h = w["keys"].copy()
        for t, words in enumerate(story):
            s = sum(w["embedding"][word] * w["story_positions"][j] for j, word in enumerate(words))
            for slot in range(2):
                g = sigmoid(s @ h[slot] + s @ w["keys"][slot])
                np.testing.assert_allclose(gates[row, slot, t], g, rtol=1e-4)
                made = h[slot] @ w["state_kernel"] + w["keys"][slot] @ w["key_kernel"] + s @ w["sentence_kernel"]
                h[slot] = h[slot] + g * prelu(made, w["write_slope"])
                h[slot] /= np.linalg.norm(h[slot])
        q = sum(w["embedding"][word] * w["question_positions"][j] for j, word in enumerate(question))
        p = np.exp(h @ q) / np.exp(h @ q).sum()
        y = prelu(q + p @ h @ w["memory_kernel"], w["read_slope"])
        np.testing.assert_allclose(logits[row], y @ w["output_linear/kernel"] + w["bias"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["memory_network", "query_reduction", "entity_network"])
def test_fields_that_are_no_story_and_question_are_refused(kind):
    ids = sizes().inputs["question"]
    for fields in ({"a": ids, "b": ids}, {"a": ids, "b": ids, "c": ids}):
        with pytest.raises(ConfigError, match="expects a field of sentences and a field of text"):
            built(kind, of=Sizes(fields, "answer", sizes().target))
    with pytest.raises(ConfigError, match='need one vocabulary; set .tokenize. vocabulary = "joint"'):
        built(kind, of=sizes(vocab_size=99))


def test_the_linear_start_ends_with_its_epoch_and_travels_with_the_weights(tmp_path):
    model = built("memory_network", size=3, linear_start=2)
    for epoch, expected in ((1, 1), (2, 1), (3, 0)):
        model.start_epoch(epoch)
        assert float(model.linear) == expected
    model.save_weights(tmp_path / "x.weights.h5")
    other = built("memory_network", size=3, linear_start=2)
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(other(inputs()), model(inputs()))


def test_the_rate_falls_in_steps():
    config = steps.Config(parts=4, first=2)
    assert [steps.factor(config, step, 8, []) for step in range(1, 9)] == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


# Task and pipeline.


def test_answers_that_train_does_not_have_count_as_wrong():
    outputs = {
        "answer": ["a", "b", "a"],
        "labels": [["a", "b"]] * 3,
        "probabilities": [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]],
    }
    report = qa.metrics(outputs, ["a", "b", "never seen"], resamples=10)
    assert report["metrics"]["accuracy"] == pytest.approx(2 / 3)
    assert report["metrics"]["error"] == pytest.approx(1 / 3)
    assert report["metrics"]["unseen_answers"] == pytest.approx(1 / 3)
    assert report["intervals"]["error"][0] <= 1 / 3 <= report["intervals"]["error"][1]
    assert qa.metrics({"answer": [], "labels": [], "probabilities": []}, [])["metrics"]["error"] is None


PIPELINE = {
    "task": "qa",
    "seed": 1,
    "normalize": {"steps": ["casefold", "punctuation", "whitespace"]},
    "tokenize": {"codec": "words"},
    "model": {"kind": "memory_network", "size": 8, "hops": 2},
    "train": {"epochs": 1, "batch_rows": 16},
}


def story_rows(path):
    """Stories of two persons as JSON lines, half of them lists."""
    random, lines = np.random.default_rng(1), []
    for number in range(60):
        rooms = [str(random.choice(["garden", "office", "attic"])) for _ in range(3)]
        told = [f"{name} is in the {room}." for name, room in zip(("Ann", "Bo", "Ann"), rooms, strict=True)]
        story = told if number % 2 else "\n".join(told)
        lines.append(json.dumps({"story": story, "question": "Where is Ann?", "answer": rooms[2]}))
    lines.append(
        json.dumps(
            {
                "story": ["Bo is in the cellar.", "Ann is in the cellar."],
                "question": "Where is Ann?",
                "answer": "cellar",
            }
        )
    )
    path = path.with_suffix(".jsonl")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tiny.once(tmp_path_factory.getbasetemp(), "stories", PIPELINE, story_rows)


def test_a_served_story_is_answered_with_its_attention(trained):
    model = Model.load(trained["export"] / "model")
    rows = [
        {"story": "Ann is in the garden.\n\nBo is in the office.", "question": "Where is Ann?"},
        {"story": " ", "question": ""},
        {"story": "x\n" * 10_000, "question": "y " * 10_000},
    ]
    answers = model.predict(rows)
    assert all(np.isclose(sum(answer["probabilities"]), 1, atol=1e-5) for answer in answers)
    first, blank, long = model.predict(rows, signature="attention")
    assert first["source_tokens"][:2] == ["ann is in the garden", "bo is in the office"]
    assert first["target_tokens"] == ["hop 1", "hop 2"]
    assert np.shape(first["weights"])[0] == 2
    assert 0 < sum(first["weights"][0]) <= 1 and not any(first["weights"][0][2:])
    assert set(blank["source_tokens"]) == {""} and len(long["source_tokens"]) == 50
    alone = model.predict(rows[:1])[0]
    np.testing.assert_allclose(alone["probabilities"], answers[0]["probabilities"], atol=1e-5)


def test_a_server_names_a_story_that_is_a_list(trained, tmp_path):
    shutil.copytree(trained["export"] / "model", tmp_path / "stories" / "1")
    listed = {"story": ["Ann is in the garden.", 3], "question": "Where is Ann?"}
    text = {**listed, "story": "Ann is in the garden."}
    with running(tmp_path) as server:
        for request, place in (
            ({"instances": [listed]}, "row 1: story: expected shape [rows], found [1,2]; write a cell as"),
            ({"instances": [text, listed]}, "row 2: story: expected shape [rows], found [2,2]; write a cell as"),
            ({"instances": [{**text, "story": 3}]}, "Failed to process element: 0 key: story of 'instances' list."),
            (
                {"inputs": {"story": [["a", "b"]], "question": ["q"]}},
                "story: expected shape [rows], found [1,2]; write",
            ),
            ({"inputs": text}, "question: expected shape [rows], found []; send a list with a value for each row"),
        ):
            status, _, body = server.ask("POST", "/v1/models/stories:predict", request)
            assert status == 400 and json.loads(body)["error"].startswith(place), body
        url = f"http://127.0.0.1:{server.rest}/v1/models/stories"
        row = json.dumps({**text, "story": [text["story"]]})
        answer = server.predict("stories", instances=[text])["predictions"][0]["answer"]
        assert CliRunner().invoke(main, ["predict", url, row]).stdout.split("\t")[0] == answer


def test_bad_stories_stop_ingest_with_their_place(tmp_path):
    rows = [
        {"story": ["a.", {"b": 1}], "question": "Q?", "answer": "x"},
        {"story": "a.", "question": ["Q?"], "answer": "x"},
    ]
    for row, message in zip(
        rows, ("line 1: a list of sentences has", "line 1: 'question' is a list or an object"), strict=True
    ):
        path = tmp_path / "bad.jsonl"
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=message):
            tiny.build(tmp_path / message[8:12], PIPELINE, path, until="ingest")


def test_a_list_without_sentences_is_a_blank_story(tmp_path):
    path = tmp_path / "rows.jsonl"
    stories = [story for at in range(20) for story in ([f"a {at}."], "", [""], [], " ", [f"b {at}.", ""])]
    rows = [{"story": story, "question": "Q?", "answer": "xyz"[at % 6 // 2]} for at, story in enumerate(stories)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    folder = tiny.build(tmp_path, PIPELINE, path, until="ingest")["ingest"]
    stats = json.loads((folder / "stats.json").read_text())
    counts = stats["repairs"]
    assert counts["empty_rows"] == 80 and not counts["bad_rows"], stats


def test_a_question_is_required(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"story": "a.", "answer": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no column 'question'"):
        tiny.build(tmp_path / "built", PIPELINE, path, until="ingest")


def test_an_answer_of_valid_that_train_does_not_have_is_left_out_of_validation(tmp_path):
    files = {"train": tmp_path / "train.jsonl", "valid": tmp_path / "valid.jsonl"}
    for split, answers in (("train", "xyxyxy"), ("valid", "xz")):
        lines = [
            json.dumps({"story": f"story {number} {split}", "question": "q", "answer": a})
            for number, a in enumerate(answers)
        ]
        files[split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    ingest = {"files": {split: str(path) for split, path in files.items()}, "split": {"test": 0, "valid": 0}}
    outputs = tiny.build(tmp_path / "built", {**PIPELINE, "ingest": ingest}, files["train"], until="train")
    history = [json.loads(line) for line in (outputs["train"] / "history.jsonl").read_text().splitlines()]
    assert np.isfinite(history[-1]["valid_loss"])
    assert history[-1]["valid_accuracy"] in (0, 1)  # of one row


def test_settings_without_effect_are_refused():
    with pytest.raises(ValueError, match="the only layer runs forward"):
        train.Config(task="qa", model={"kind": "query_reduction", "layers": 1, "bidirectional": True})


def test_new_writes_a_pipeline_that_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = story_rows(tmp_path / "rows")
    assert CliRunner().invoke(main, ["new", "qa", "--data", str(rows), "--output", "own.toml"]).exit_code == 0
    pipeline = runner.Pipeline.load(tmp_path / "own.toml", ("train.epochs=1",))
    result = runner.run(pipeline, until="train", artifacts=tmp_path / "artifacts")
    assert json.loads((result.artifacts["train"].path / "train.json").read_text())["epochs"] == 1


def test_litert_says_that_it_has_no_form_of_sentences(trained):
    servable = Servable.load(trained, "qa")
    with pytest.raises(ConfigError, match="story: LiteRT has no form of this feature"):
        litert.convert(servable, plugins.find("answers", "label"))


def test_one_field_is_its_own_question():
    ids = sizes().inputs["question"]
    model = built("query_reduction", of=Sizes({"text": ids}, "answer", sizes().target), size=3)
    assert model({"text": flat(STORY)}).shape == (2, 3)
    assert keras.ops.shape(model({"text": flat([[[4, 5]]])})) == (1, 3)


def test_punctuation_is_removed_but_inside_words():
    step = Plugin.check("text.steps", "punctuation")
    texts = ["Well-read, isn\u2019t he?", "rock'n'roll 1-2-3 -x- 'a'", "\u00abStop\u00bb \u2013 3.5!", "a\ufdd1b"]
    found = [
        text.decode() for text in plugins.find("text.steps", "punctuation").apply(tf.constant(texts), step).numpy()
    ]
    assert found == ["Well-read  isn't he ", "rock'n'roll 1-2-3  x   a ", " Stop    3 5 ", "a b"]
