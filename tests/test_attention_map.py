"""Attention as text and as a picture, in any script and without warnings."""

import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.report import attention_map
from textpipe.savedmodel import loader, manifest

SCRIPTS = ["▁Haus", "▁שלום", "▁مرحبا", "北京", "▁$5_x^2", "👍🏽", "\n", "&<b>", "</s>"]
ANSWER = ["▁house", "\U000e0fff", " ", "</s>"]


def weights_of(rows, columns, seed=1):
    return np.random.default_rng(seed).dirichlet(np.full(columns, 0.3), size=rows).tolist()


class Reverses(tf.Module):
    """Answers a text with its words in reverse order, each attending to its source word; without attention if not `sees`.

    Two positions of padding follow the answer, as in a beam whose best answer is shorter than others.
    """

    def __init__(self, sees):
        super().__init__()
        self.sees = sees

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def attention(self, source):
        words = tf.strings.split(source[0])
        count = tf.size(words)
        weights = tf.reverse(0.7 * tf.eye(count) + 0.3 / tf.cast(count, tf.float32), [0])  # [U, T]
        ended = tf.one_hot([count], count + 1)
        weights = tf.concat([tf.pad(weights, [[0, 0], [0, 1]]), ended, tf.zeros([2, count + 1])], axis=0)
        return {
            "source_tokens": tf.concat([words, ["</s>"]], axis=0)[None],
            "target_tokens": tf.concat([words[::-1], ["</s>", "<pad>", "<pad>"]], axis=0)[None],
            "weights": (weights * self.sees)[None],
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="source")])
    def answer(self, source):
        return {"answer": source}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exported models: a generator, one without attention, and a classifier."""
    folder, built = tmp_path_factory.mktemp("exported"), {}
    for name, sees, labels in (("generator", 1.0, None), ("blind", 0.0, None), ("classifier", 1.0, ["no", "yes"])):
        model = Reverses(sees)
        signatures = {"serving_default": model.answer} | ({} if labels else {"attention": model.attention})
        built[name] = folder / name / "1"
        tf.saved_model.save(model, str(built[name]), signatures=signatures)
        about = {"format": 1, "labels": labels, "model": {"kind": "recurrent", "attention": "additive"}}
        (built[name] / loader.ABOUT).write_text(json.dumps(about))
        manifest.write(built[name])
    return built


def attention(*words):
    done = CliRunner().invoke(main, ["-v", "attention", *map(str, words)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_a_token_is_aligned_to_its_largest_weight_and_end_tokens_to_none():
    weights = [[0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.9, 0.1, 0.0]]
    assert attention_map.hard_alignment(weights, ["a", "b", "</s>"], ["w", "x", "y", "</s>"]) == [(1, 0), (0, 1)]
    assert attention_map.hard_alignment([[1.0]], ["</s>"], ["</s>"]) == []


def test_the_command_prints_the_alignment_and_draws_it(exported, tmp_path):
    code, out, err = attention(exported["generator"], "the old dog", "--output", tmp_path / "new" / "a.html")
    assert code == 0 and out.splitlines() == [
        "2-0 1-1 0-2",
        "2-0\tdog\tdog\t0.800",
        "1-1\told\told\t0.800",
        "0-2\tthe\tthe\t0.800",
    ]
    assert err.rstrip().endswith("a.html: generator: additive attention of the lowest decoder layer")
    page = (tmp_path / "new" / "a.html").read_text(encoding="utf-8")
    assert "generator: additive attention" in page and "&lt;pad&gt;" not in page and page.count("<td") == 4 * 4


def test_every_cell_of_the_page_has_its_weight_and_text_is_escaped(tmp_path):
    weights = weights_of(len(ANSWER), len(SCRIPTS))
    assert attention_map.draw(weights, SCRIPTS, ANSWER, tmp_path / "a.html", title="<i>") == []
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    found = [float(value) for value in re.findall(r"--w:([0-9.]+)", page)]
    np.testing.assert_allclose(np.reshape(found, (len(ANSWER), len(SCRIPTS))), weights, atol=6e-4)
    assert "&amp;&lt;b&gt;" in page and "<b>" not in page and "<i>" not in page and "␊" in page
    assert page.count('class="best"') == len(attention_map.hard_alignment(weights, SCRIPTS, ANSWER))


def test_any_script_is_drawn_without_warnings_and_missing_glyphs_are_reported(tmp_path):
    weights = weights_of(len(ANSWER), len(SCRIPTS))
    missing = attention_map.draw(weights, SCRIPTS, ANSWER, tmp_path / "a.png", title="$_")
    assert "\U000e0fff" in missing and not set(missing) & set("Haus▁5שלום")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert attention_map.draw(weights, SCRIPTS, ANSWER, tmp_path / "a.svg", title="$_") == []
    drawn = xml.etree.ElementTree.parse(tmp_path / "a.svg")
    texts = {"".join(node.itertext()).strip() for node in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"▁שלום", "▁مرحبا", "北京", "▁$5_x^2", "&<b>", "␊"} <= texts


def test_equal_pictures_are_equal_files_and_long_sentences_have_a_bounded_size(tmp_path):
    source, target = [f"▁wort{k}" for k in range(95)], [f"▁word{k}" for k in range(90)]
    weights = weights_of(90, 95)
    for name in ("a.png", "b.png"):
        attention_map.draw(weights, source, target, tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    assert 90 * 20 < height < 8000 and 95 * 20 < width < 8000  # every token has its own line


@pytest.mark.parametrize(
    ("name", "output", "words"),
    [
        ("classifier", "a.png", "is a classifier and has no attention"),
        ("blind", "a.png", "has no attention to draw"),
        ("generator", "a.gif", "expected a name that ends in .png, .svg or .html"),
        ("nothing", "a.png", "no such model"),
    ],
)
def test_models_and_formats_without_pictures_are_refused(exported, tmp_path, name, output, words):
    place = exported.get(name, tmp_path / "nothing")
    code, _, err = attention(place, "the dog 5 is red", "--output", tmp_path / output)
    assert code == 2 and words in err and not (tmp_path / output).exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            {"kind": "transformer", "num_heads": 4, "layers": 6, "decoder_layers": None},
            "mean over 4 heads of decoder layer 5 of 6",
        ),
        (
            {"kind": "transformer", "num_heads": 8, "layers": 6, "decoder_layers": 1},
            "mean over 8 heads of decoder layer 1 of 1",
        ),
        ({"kind": "recurrent", "attention": "dot"}, "dot attention of the lowest decoder layer"),
        ({}, "attention"),
    ],
)
def test_a_picture_names_the_weights_it_shows(model, words):
    assert attention_map.describe_weights(model) == words
