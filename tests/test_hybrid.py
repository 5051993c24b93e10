"""Words and the letters of unknown words: the codec that spells them in one row, and the model that reads such rows."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.decoding import greedy
from textpipe.errors import ConfigError, DataError
from textpipe.layers.spelled_words import Packing, Spellings
from textpipe.nets.hybrid import MASKED
from textpipe.objectives import sequence
from textpipe.servable import writer
from textpipe.servable.graph import Servable
from textpipe.text.hybrid_codec import HybridCodec
from textpipe.training import losses
from textpipe.training.settings import Settings

WORDS = ["a", "man", "dog", ".", "(", ")"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUM_WORDS, VOCABULARY = 8, 13  # of the models: special tokens and words are 0 .. 7, </unk> is 8, letters are 9 .. 12
SMALL = {"units": 6, "embedding_size": 4, "attention_size": 5, "letter_units": 5, "letter_embedding_size": 3}
UNK, START, END, CLOSE = 1, 2, 3, NUM_WORDS


@pytest.fixture(scope="module")
def codec():
    return HybridCodec(WORDS, [ord(letter) for letter in LETTERS])


def model_of(**options):
    size = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": 30, "num_words": NUM_WORDS}
    config = Plugin.check("models", {"kind": "hybrid", **SMALL, **options})
    model = plugins.find("models", "hybrid").build(config, Sizes({"source": size}, "target", size), seed=1)
    random = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + random.normal(scale=0.5, size=variable.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return model_of()


def padded(*rows):
    ids = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    return ids


# Rows with spellings at the start, at the end, adjacent, of one letter, and without any.
SOURCE = padded(
    [UNK, 9, 10, CLOSE, 5, 6, END],
    [4, 5, UNK, 12, CLOSE, UNK, 11, 11, 9, CLOSE, END],
    [7, END],
)
TARGET_IN = padded(
    [START, 5, UNK, 10, 9, CLOSE, 6],
    [START, UNK, 12, CLOSE, UNK, 9, 11, 10, CLOSE],
    [START, 4, 4, 4, 4, 4, 4, 4, 4],
)


def test_an_unknown_word_is_spelled_between_unk_and_its_end(codec):
    ids = codec.encode(tf.constant(["a man yodels."]))
    assert codec.pieces(ids.to_tensor()).numpy()[0].tolist() == [
        *(b"a", b"man", b"<unk>", b"y", b"o", b"d", b"e", b"l", b"s", b"</unk>", b".")
    ]
    assert ids.numpy()[0, 2] == codec.unk_id and ids.numpy()[0, 9] == codec.close_id == codec.num_words


def test_spelled_words_survive_a_round_trip(codec):
    texts = ["a man yodels.", "", "(zebra) dog", "xylophones", "a dog a dog quick."]
    ids = codec.encode(tf.constant(texts))
    assert codec.decode(ids.to_tensor()).numpy().tolist() == [text.encode() for text in texts]


def test_letters_unseen_in_training_become_replacement_characters(codec):
    ids = codec.encode(tf.constant(["zoö 😀"]))
    assert codec.decode(ids.to_tensor()).numpy()[0].decode() == "zo\ufffd \ufffd"


def test_rows_that_no_text_encodes_to_are_decoded_too(codec):
    # What a model may answer: a spelling without letters, without an end, letters without a beginning.
    letter = {character: codec.encode(tf.constant([character + "q"])).numpy()[0][1] for character in "bcd"}
    man, unk, close, b, c, d = 5, 1, codec.close_id, letter["b"], letter["c"], letter["d"]
    rows = {
        (unk, close, man): "<unk> man",
        (unk, unk, b): "<unk> b",
        (unk, b, c): "bc",
        (man, b, c, close, man): "man bc man",
        (unk, b, unk, c, d): "b cd",
        (close, man): "man",
    }
    assert codec.decode(tf.constant(padded(*rows))).numpy().tolist() == [text.encode() for text in rows.values()]


def test_the_codec_learns_frequent_words_and_every_letter(tmp_path):
    module = plugins.find("text.codecs", "hybrid")
    lines = ["the dog sees the dog", "the cat", "", "the Žebra sees"]
    module.learn(module.Config(min_count=2), lambda: lines, tmp_path, "joint", seed=1)
    found = json.loads((tmp_path / "joint.json").read_text())
    assert found["words"] == ["the", "dog", "sees"]
    assert sorted(found["letters"]) == sorted(set("".join(lines)) - {" "})
    codec = module.load({"name": "joint"}, tmp_path)
    assert codec.vocab_size == 4 + 3 + 1 + 1 + len(found["letters"])  # special tokens, words, </unk>, U+FFFD, letters
    assert codec.decode(codec.encode(tf.constant(["the Žebra"])).to_tensor()).numpy()[0].decode() == "the Žebra"
    with pytest.raises(DataError, match="occurs 9 times; lower min_count"):
        module.learn(module.Config(min_count=9), lambda: lines, tmp_path, "joint", seed=1)


def test_vocab_size_holds_words_and_letters(tmp_path):
    module = plugins.find("text.codecs", "hybrid")
    lines = ["abc abc abd abd abe abe abf abf"]
    module.learn(module.Config(vocab_size=4 + 1 + 1 + 3 + 2, num_letters=3), lambda: lines, tmp_path, "x", seed=1)
    found = json.loads((tmp_path / "x.json").read_text())
    assert found == {"words": ["abc", "abd"], "letters": ["a", "b", "c"]}
    assert module.load({"name": "x"}, tmp_path).vocab_size == 11
    with pytest.raises(ValueError, match="leaves no ids for words"):
        module.Config(vocab_size=20, num_letters=15)


def test_words_are_packed_in_their_order():
    selected = np.array([[True, False, False, True, True], [False, True, False, False, False], [False] * 5])
    values = np.arange(15).reshape(3, 5)
    words = Packing(tf.constant(selected))
    packed, real = words.pack(tf.constant(values)).numpy(), words.real.numpy()
    for row in range(3):
        assert packed[row][real[row]].tolist() == values[row][selected[row]].tolist()
    assert words.rank.numpy().tolist() == [[0, 0, 0, 1, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_spellings_become_columns():
    spellings = Spellings(tf.constant(SOURCE), NUM_WORDS)
    letters, real = spellings.letters.numpy(), spellings.real.numpy()
    spelled = [letters[real[:, at], at].tolist() for at in range(letters.shape[1])]
    assert spelled == [[UNK, 9, 10], [UNK, 12], [UNK, 11, 11, 9], []]
    # Unpacking restores each letter to its position.
    back = spellings.unpack(spellings.letters[..., None])[..., 0].numpy()
    inside = spellings.inside.numpy()
    np.testing.assert_array_equal(back[inside], SOURCE[inside])
    np.testing.assert_array_equal(inside, (SOURCE == UNK) | (SOURCE > CLOSE))


@pytest.mark.parametrize("options", [{}, {"cell": "lstm", "layers": 2, "letter_layers": 2, "attention": "general"}])
def test_stepping_through_spellings_gives_the_teacher_forced_logits(options):
    model = model_of(**options)
    expected = model({"source": SOURCE}, TARGET_IN, training=False).numpy()
    state = model.start(model.encode({"source": SOURCE}))
    for position in range(TARGET_IN.shape[1]):
        logits, state, attention = model.step(state, TARGET_IN[:, position])
        real = TARGET_IN[:, position] != 0
        np.testing.assert_allclose(logits.numpy()[real], expected[real, position], atol=5e-6)
        # Attention is on words and the starts of spellings, never on letters.
        assert not attention.numpy()[(SOURCE == 0) | (SOURCE >= CLOSE)].any()
        np.testing.assert_allclose(attention.numpy().sum(axis=1), 1, atol=1e-5)


def test_inside_a_spelling_letters_are_likely_and_outside_words(model):
    logits = model({"source": SOURCE}, TARGET_IN, training=False).numpy()
    inside = (TARGET_IN == UNK) | (TARGET_IN > CLOSE)
    np.testing.assert_allclose(logits[inside][:, :NUM_WORDS], MASKED, rtol=1e-5)
    np.testing.assert_allclose(logits[~inside][:, NUM_WORDS:], MASKED, rtol=1e-5)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert probabilities[inside][:, NUM_WORDS:].sum(axis=-1).min() > 0.999
    assert probabilities[~inside][:, :NUM_WORDS].sum(axis=-1).min() > 0.999


def test_letters_have_the_attention_of_their_word(model):
    state, attentions = model.start(model.encode({"source": SOURCE[1:2]})), []
    for token in (START, 5, UNK, 9, 10, CLOSE):
        _, state, attention = model.step(state, np.array([token], np.int32))
        attentions.append(attention.numpy()[0])
    for letter in (2, 3, 4):
        np.testing.assert_allclose(attentions[letter], attentions[1], atol=1e-6)
    assert np.abs(attentions[5] - attentions[1]).max() > 1e-4


def test_the_letters_and_the_position_of_an_unknown_source_word_matter(model):
    def first_logits(row):
        logits, *_ = model.step(model.start(model.encode({"source": padded(row)})), np.array([START], np.int32))
        return logits.numpy()

    one = first_logits([4, UNK, 9, 10, CLOSE, 5, END])
    assert np.abs(first_logits([4, UNK, 10, 9, CLOSE, 5, END]) - one).max() > 1e-3  # the same letters in another order
    assert np.abs(first_logits([UNK, 9, 10, CLOSE, 4, 5, END]) - one).max() > 1e-3
    np.testing.assert_allclose(first_logits([4, UNK, 9, 10, 5, END]), one, atol=1e-6)  # </unk> carries no information


def test_the_word_decoder_reads_unk_instead_of_the_spelling(model):
    # Luong & Manning (2016), section 4.4: the words after two different spellings have equal logits.
    target = padded([START, 4, UNK, 9, 10, 11, CLOSE, 5], [START, 4, UNK, 12, 9, 12, CLOSE, 5])
    logits = model({"source": SOURCE[[1, 1]]}, target, training=False).numpy()
    np.testing.assert_allclose(logits[0, 6:], logits[1, 6:], atol=1e-6)
    assert np.abs(logits[0, 3:6] - logits[1, 3:6]).max() > 1e-3


def test_the_loss_is_the_sum_of_the_word_loss_and_the_letter_loss(model):
    # The sum over the one row of ids is equation 6 with alpha 1, each softmax over its own kind.
    target = np.concatenate([TARGET_IN[:2, 1:], [[END], [5]]], axis=1).astype(np.int32)
    target[0, -2:] = [END, 0]
    sums = sequence.sums(model, {"source": tf.constant(SOURCE[:2])}, tf.constant(target))
    logits = model({"source": SOURCE[:2]}, losses.shift_right(target, START), training=False).numpy().astype(np.float64)
    total = 0.0
    for row, ids in enumerate(target):
        inside = False
        for place, token in enumerate(ids):
            if token:
                own = logits[row, place, NUM_WORDS:] if inside else logits[row, place, :NUM_WORDS]
                total += np.log(np.exp(own).sum()) - own[token - NUM_WORDS if inside else token]
                inside = token == UNK or token > CLOSE
    np.testing.assert_allclose(float(sums["loss"]), total, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_blockwise_training_gradients_equal_those_of_the_whole_loss(smoothing):
    model = model_of(dropout=0.0, embedding_dropout=0.0)
    target = np.concatenate([TARGET_IN[:, 1:], [[END]] * 3], axis=1).astype(np.int32)
    source, target = tf.constant(SOURCE), tf.constant(target)
    variables = [variable.value for variable in model.trainable_variables]
    _, gradients = sequence.gradients(
        model, {"source": source}, target, variables, total=tf.constant(7.0), config=Settings(label_smoothing=smoothing)
    )
    with tf.GradientTape() as tape:
        logits = model({"source": source}, losses.shift_right(target, START), training=True)
        loss = losses.cross_entropy_sums(
            tf.boolean_mask(logits, target != 0), tf.boolean_mask(target, target != 0), smoothing
        )
        loss = loss["loss"] / 7.0
    expected = tape.gradient(loss, variables)
    for gradient, other, variable in zip(gradients, expected, model.trainable_variables, strict=True):
        np.testing.assert_allclose(gradient, losses.to_dense(other), atol=2e-5, err_msg=variable.path)


def test_other_codecs_are_refused():
    size = {"kind": "ids", "vocab_size": 20, "max_length": 30}
    module = plugins.find("models", "hybrid")
    with pytest.raises(ConfigError, match='codec = "hybrid"'):
        module.build(module.Config(), Sizes({"source": size}, "target", size), seed=1)


PIPELINE = {
    **tiny.GENERATOR,
    "tokenize": {"codec": {"kind": "hybrid", "min_count": 6}},
    "vectorize": {"features": {"kind": "ids", "max_length": 40}},
    "model": {
        "kind": "hybrid",
        "units": 32,
        "embedding_size": 32,
        "attention_size": 16,
        "letter_units": 32,
        "letter_embedding_size": 16,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
    },
    "train": {
        "epochs": 16,
        "batch_tokens": 1024,
        "optimizer": {"kind": "adam", "learning_rate": 0.02},
    },
    "decode": {"kind": "greedy", "max_length": 40},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Sentences whose numbers are mostly rarer than min_count, so that they are spelled."""
    folder = tmp_path_factory.mktemp("hybrid")
    paths = tiny.build(folder / "built", PIPELINE, tiny.generator_rows(folder / "rows.tsv", 400), until="train")
    servable = Servable.load(paths, "translate", Plugin.check("decoding", PIPELINE["decode"]))
    writer.save(servable, folder / "saved")
    return servable, folder / "saved"


def test_a_trained_model_spells_words_that_training_never_saw(trained):
    servable, _ = trained
    codec = servable.features["target"].codec
    texts = [f"the dog {number} is red" for number in ("321", "4055", "777", "1203")]
    assert all(codec.unk_id in row for row in codec.encode(tf.constant(["321", "4055", "777", "1203"])).to_list())
    found = servable.signature("serving_default")(source=tf.constant(texts))["answer"].numpy()
    answers = [answer.decode() for answer in found]
    assert all(answer.startswith("das Hund ") and answer.endswith(" ist rot") for answer in answers), answers
    assert "<unk>" not in " ".join(answers)
    digits = [answer.split()[2] for answer in answers]
    assert all(word.isdigit() for word in digits), answers


def test_the_saved_model_gives_the_answers_of_python(trained):
    servable, folder = trained
    texts = ["the dog 321 is red", "", "the zebra 12 is turquoise and the house 900 is new", "ünknown"]
    signatures = tf.saved_model.load(str(folder)).signatures
    for name in ("serving_default", "nbest", "attention"):
        expected = servable.signature(name)(source=tf.constant(texts))
        found = signatures[name](source=tf.constant(texts))
        for key, value in expected.items():
            if value.dtype == tf.string:
                np.testing.assert_array_equal(found[key].numpy(), value.numpy())
            else:
                np.testing.assert_allclose(found[key], value, atol=1e-5)


def test_beam_search_over_words_and_letters_never_scores_below_greedy(trained):
    servable, _ = trained
    source = servable.inputs({"source": tf.constant(["the dog 321 is red", "the zebra 12 is new", "old"])})
    one = greedy.decode(servable.model, source, greedy.Config(max_length=40))["log_probs"].numpy()[:, 0]
    config = Plugin.check("decoding", {"kind": "beam", "beam_size": 4, "length_penalty": 0.0, "max_length": 40})
    many = plugins.find("decoding", "beam").decode(servable.model, source, config)["log_probs"].numpy()
    assert (many[:, 0] >= one - 1e-4).all()
