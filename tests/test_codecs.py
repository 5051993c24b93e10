"""Codecs: round trips of any text, the meaning of ids, deterministic and bounded learning."""

import json
import logging
import random
import re
from collections import Counter

import pytest
import sentencepiece
import tensorflow as tf
from nasty_strings import NASTY, random_texts

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError, DataError
from textpipe.text import codec as codecs
from textpipe.text import counting, subwords, words

LINES = [
    f"{who} {does} the {what} {when}, {where}."
    for who in ("Ann", "The old driver", "Nobody", "My neighbour's cat")
    for does in ("finds", "repairs", "forgets", "photographs")
    for what in ("bicycle", "letter", "umbrella", "Straßenbahn")
    for when in ("today", "at midnight", "in 1984", "before breakfast")
    for where in ("here", "in Köln", "at the harbour")
]
TEXTS = [*NASTY, *LINES[::50], *random_texts(500, seed=4)]
LEARNED = ["unigram", "bpe", "characters", "words", "hybrid"]
KINDS = [*LEARNED, "bytes"]


def learn(folder, kind, lines=LINES, seed=1, **options):
    config = Plugin.check("text.codecs", {"kind": kind, **options})
    plugins.find("text.codecs", kind).learn(config, lambda: iter(lines), folder, "text", seed=seed)
    return plugins.find("text.codecs", kind).load({"kind": kind, "name": "text"}, folder)


@pytest.fixture(scope="module", params=KINDS)
def codec(request, tmp_path_factory):
    options = {"vocab_size": 500} if request.param in ("unigram", "bpe") else {}
    return learn(tmp_path_factory.mktemp(request.param), request.param, **options)


def decoded(codec, ids):
    return [text.decode() for text in codec.decode(ids).numpy()]


def round_trip(codec, texts):
    """Encode and decode a batch as generators write it: with ends and padding."""
    ids = codec.encode(tf.constant(texts))
    ends = tf.fill([len(texts), 1], codec.end_id)
    return decoded(codec, tf.concat([ids, ends], axis=1).to_tensor(codec.pad_id))


def test_ids_are_int32_in_the_vocabulary_and_unknown_is_the_only_special_token(codec):
    ids = codec.encode(tf.constant(TEXTS))
    assert ids.dtype == tf.int32
    found = set(ids.flat_values.numpy().tolist())
    assert max(found) < codec.vocab_size
    assert min(found) >= 0
    assert not found & {codec.pad_id, codec.start_id, codec.end_id}


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_subwords_round_trip_any_text_except_leading_spaces(tmp_path, kind):
    codec = learn(tmp_path, kind, vocab_size=500)
    texts = [text.strip(" ") for text in TEXTS]
    assert round_trip(codec, texts) == texts
    assert not any(codec.unk_id in row for row in codec.encode(tf.constant(texts)).to_list())


def test_bytes_round_trip_any_text(tmp_path):
    codec = learn(tmp_path, "bytes")
    assert round_trip(codec, TEXTS) == TEXTS
    assert codec.encode(tf.constant(["né"])).to_list() == [[4 + byte for byte in "né".encode()]]


def test_characters_round_trip_any_text_of_known_characters(tmp_path):
    codec = learn(tmp_path, "characters", lines=TEXTS, vocab_size=100_000)
    assert codec.vocab_size == 4 + len(set("".join(TEXTS)))
    assert round_trip(codec, TEXTS) == TEXTS


def test_an_unknown_character_is_one_unknown_id(tmp_path):
    codec = learn(tmp_path, "characters", lines=["aab"])
    assert codec.encode(tf.constant(["abc\U0010ffff"])).to_list() == [[4, 5, 1, 1]]
    assert round_trip(codec, ["abc"]) == ["ab\ufffd"]


def test_words_are_split_as_by_pythons_regular_expressions():
    draw = random.Random(8)
    quotes = ["".join(draw.choices("ab'’ ,", k=draw.randint(0, 12))) for _ in range(500)]
    # Python's \w does not match combining marks, so the texts have none.
    texts = [*LINES, "x_1 don't l’été—so: 3.5% (a) \u00a0b\u2028c", "", *quotes]
    expected = [re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text) for text in texts]
    assert [[word.decode() for word in row] for row in words.split(tf.constant(texts)).to_list()] == expected
    bare = [re.findall(r"\w+(?:['’]\w+)*", text) for text in texts]
    found = words.split(tf.constant(texts), punctuation=False).to_list()
    assert [[word.decode() for word in row] for row in found] == bare


def test_words_lose_only_white_space():
    texts = [*NASTY, *random_texts(500, seed=5)]
    blank = {*(chr(code) for code in range(0x110000) if chr(code).isspace()), "\u200b", "\ufeff"}
    for text, row in zip(texts, words.split(tf.constant(texts)).to_list(), strict=True):
        assert b"".join(row).decode() == "".join(character for character in text if character not in blank)


def test_unknown_words_are_one_id_and_decode_to_unk(tmp_path):
    codec = learn(tmp_path, "words", vocab_size=30)
    counter = Counter(word for line in LINES for word in re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", line))
    known = sorted(counter, key=lambda word: (-counter[word], word))[:26]
    assert codec.pieces(tf.constant([range(4, 30)])).numpy()[0].tolist() == [word.encode() for word in known]
    assert codec.encode(tf.constant(["the zebra, the."])).to_list()[0][1] == codec.unk_id
    assert round_trip(codec, ["the zebra, in the  (.)"]) == ["the <unk>, in the <unk>. <unk>"]


def test_words_round_trip_with_punctuation_attached(tmp_path):
    assert round_trip(learn(tmp_path, "words"), LINES[:40]) == LINES[:40]


def test_rare_words_are_left_out(tmp_path):
    assert learn(tmp_path, "words", lines=["a a b", "a b c"], min_count=2).vocab_size == 4 + 2


def test_decoding_drops_padding_and_starts_and_stops_at_the_first_end(codec):
    a, b = codec.encode(tf.constant(["the"])).to_list()[0], codec.encode(tf.constant(["here"])).to_list()[0]
    plain, cut = [*a, *b], [2, 0, *a, 2, *b, 3, *a, 3]
    ids = tf.ragged.constant([plain, cut, [], [3, *a], [2]], dtype=tf.int32).to_tensor()
    found = decoded(codec, ids)
    assert found[0] == found[1] != ""
    assert found[2:] == ["", "", ""]
    assert codec.decode(tf.zeros([0, 5], tf.int32)).shape == (0,)
    assert decoded(codec, tf.zeros([2, 0], tf.int32)) == ["", ""]


def test_any_ids_decode_to_utf8(codec):
    draw = random.Random(6)
    ids = [[draw.randrange(codec.vocab_size) for _ in range(30)] for _ in range(200)]
    assert len(decoded(codec, tf.constant(ids))) == 200


def test_there_is_one_piece_for_each_id(codec):
    ids = codec.encode(tf.constant(LINES[:3])).to_tensor()
    pieces = codec.pieces(ids)
    assert pieces.shape == ids.shape
    special = codec.pieces(tf.constant([[0, 1, 2, 3]])).numpy()[0].tolist()
    assert special == [b"<pad>", b"<unk>", b"<s>", b"</s>"]
    if isinstance(codec, codecs.SubwordCodec):
        assert b"".join(codec.pieces(codec.encode(tf.constant(LINES[:1])).to_tensor()).numpy()[0]).decode() == (
            "▁" + LINES[0].replace(" ", "▁")
        )


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_op_and_sentencepieces_processor_give_equal_ids(tmp_path, kind):
    codec = learn(tmp_path, kind, vocab_size=500)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "text.model"))
    texts = [text for text in TEXTS if "▁" not in text and "\ufdd0" not in text]
    assert codec.encode(tf.constant(texts)).to_list() == processor.encode(texts)
    assert [processor.id_to_piece(number) for number in range(4)] == ["<pad>", "<unk>", "<s>", "</s>"]


@pytest.mark.parametrize("kind", LEARNED)
def test_learning_twice_writes_the_same_bytes(tmp_path, kind):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        learn(tmp_path / folder, kind, **({"vocab_size": 400, "max_lines": 300} if kind in ("unigram", "bpe") else {}))
    files = [sorted((tmp_path / folder).iterdir()) for folder in ("one", "two")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]] != []
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_too_large_for_the_data_is_reduced_with_a_warning(tmp_path, kind, caplog):
    with caplog.at_level(logging.WARNING):
        codec = learn(tmp_path, kind, vocab_size=50_000)
    assert 260 < codec.vocab_size < 5_000
    assert f"allows only {codec.vocab_size} of 50000 pieces" in caplog.text


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_too_small_for_the_characters_is_an_error_with_the_minimum(tmp_path, kind):
    with pytest.raises(ConfigError, match=r"vocab_size: 262 .* set at least (\d+)") as caught:
        learn(tmp_path, kind, vocab_size=262)
    minimum = int(re.search(r"set at least (\d+)", str(caught.value))[1])
    assert learn(tmp_path, kind, vocab_size=minimum).vocab_size == minimum


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("lines", [[], ["", ""]])
def test_no_text_to_learn_from_is_an_error(tmp_path, kind, lines):
    with pytest.raises(DataError, match="empty"):
        learn(tmp_path, kind, lines=lines)


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_a_megabyte_is_learned_from_and_encoded(tmp_path, kind):
    long = [" ".join(LINES * 20)[:500_000] + "x" * 500_000]
    codec = learn(tmp_path, kind, lines=long)
    ids = codec.encode(tf.constant(long))
    assert decoded(codec, ids.to_tensor()) == long
    # Lines were split at spaces: whole words are pieces.
    if kind in ("unigram", "bpe"):
        assert "▁bicycle" in {piece.decode() for piece in codec.pieces(ids.to_tensor()).numpy()[0]}


def test_lines_that_the_trainer_would_drop_are_split():
    chunks = list(subwords.split_line("a" * 700 + " " + "b" * 700 + "\nc\0d\te" + "▁" + "f" * 2500))
    assert chunks == ["a" * 700, " " + "b" * 700, "c", "d", "e", "f" * 1000, "f" * 1000, "f" * 500]


def test_a_reservoir_sample_is_uniform_and_keeps_all_of_few_items():
    assert subwords.reservoir_sample(iter("abc"), 3, seed=1) == ["a", "b", "c"]
    seen = Counter(item for seed in range(2000) for item in subwords.reservoir_sample(iter("0123456789"), 3, seed))
    assert sum(seen.values()) == 6000
    # 600 each, a standard deviation of 20.5.
    assert all(500 < seen[item] < 700 for item in "0123456789")


def test_counting_is_bounded_and_keeps_frequent_items(monkeypatch):
    monkeypatch.setattr(counting, "MAX_ITEMS", 50)
    draw = random.Random(7)
    stream = [f"rare{number}" for number in range(3000)] + ["often"] * 500 + ["common"] * 300
    draw.shuffle(stream)
    counter = counting.count([item] for item in stream)
    assert len(counter) <= 50
    assert [item for item, _ in counter.most_common(2)] == ["often", "common"]


def test_none_learns_nothing_and_is_an_error_if_ids_are_needed(tmp_path):
    def unread():
        raise AssertionError("read")

    module = plugins.find("text.codecs", "none")
    module.learn(module.Config(), unread, tmp_path, "text", seed=1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="'none' makes no token ids"):
        module.load({"kind": "none", "name": "text"}, tmp_path)


def test_exported_codecs_encode_and_decode_like_the_original_ones(tmp_path):
    module = tf.Module()
    module.codecs = {}
    strings, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
    signatures = {}
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        codec = module.codecs[kind] = learn(tmp_path / kind, kind)
        encode = tf.function(lambda text, codec=codec: {"ids": codec.encode(text).to_tensor()})
        decode = tf.function(lambda ids, codec=codec: {"text": codec.decode(ids), "pieces": codec.pieces(ids)})
        signatures |= {f"{kind}_encode": encode.get_concrete_function(strings)}
        signatures |= {f"{kind}_decode": decode.get_concrete_function(ids)}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    loaded = tf.saved_model.load(str(tmp_path / "model")).signatures
    texts = tf.constant([text for text in TEXTS if len(text) < 200])
    for kind, codec in module.codecs.items():
        expected = codec.encode(texts).to_tensor()
        assert loaded[f"{kind}_encode"](texts)["ids"].numpy().tolist() == expected.numpy().tolist()
        found = loaded[f"{kind}_decode"](expected)
        assert found["text"].numpy().tolist() == codec.decode(expected).numpy().tolist()
        assert found["pieces"].numpy().tolist() == codec.pieces(expected).numpy().tolist()


def test_character_files_can_contain_any_character(tmp_path):
    learn(tmp_path, "characters", lines=['\0\n\u2028\U0010ffff\\"'])
    assert set(json.loads((tmp_path / "text.json").read_text())) == set('\0\n\u2028\U0010ffff\\"')
