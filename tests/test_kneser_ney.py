"""The n-gram model of benchmarks/kneser_ney.py, against a case computed by hand."""

import importlib.util
from fractions import Fraction
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("kneser_ney", Path(__file__).parents[1] / "benchmarks" / "kneser_ney.py")
kneser_ney = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kneser_ney)

S, A, B, C, END = 2, 4, 5, 6, 3


def test_a_bigram_model_equals_one_computed_by_hand():
    # Rows: a b END, a c END, a b END.
    # Bigrams: S a 3, a b 2, a c 1, b END 2, c END 1; once 2, twice 2, so D2 = 2 / (2 + 4) = 1/3.
    # Tokens by what is in front: a 1 (S), b 1 (a), c 1 (a), END 2 (b, c); total 5, once 3, twice 1, so D1 = 3 / 5.
    model = kneser_ney.KneserNey([[A, B, END], [A, C, END], [A, B, END]], 2, vocab_size=10)
    assert model.discounts[1:] == pytest.approx([3 / 5, 1 / 3])
    rest = Fraction(3, 5) * 4 / 5 / 10  # 4 types, spread over 10 tokens
    single = {A: Fraction(2, 5) / 5 + rest, B: Fraction(2, 5) / 5 + rest, END: Fraction(7, 5) / 5 + rest, 9: rest}
    expected = {
        (B, (A,)): (Fraction(5, 3) + Fraction(1, 3) * 2 * single[B]) / 3,
        (END, (A,)): Fraction(1, 3) * 2 * single[END] / 3,
        (A, (S,)): (Fraction(8, 3) + Fraction(1, 3) * single[A]) / 3,
        (9, (B,)): Fraction(1, 3) * single[9] / 2,
        (B, (9,)): single[B],  # no such context: the order below
    }
    for (token, before), probability in expected.items():
        assert model.probability(token, before) == pytest.approx(float(probability))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_of_all_tokens_sum_to_one(order):
    rows = [[A, B, C, END], [A, B, END], [C, C, C, A, END], [END], [B, A, B, A, B, END]]
    model = kneser_ney.KneserNey(rows, order, vocab_size=8)
    for before in [(S,), (S, A), (S, A, B), (S, C, C, C), (C, A, B, A), (7, 7), (7, A)]:
        assert sum(model.probability(token, before) for token in range(8)) == pytest.approx(1)


def test_rows_like_those_of_training_are_less_perplexing_and_longer_contexts_help():
    rows = [[A, B, C, END], [B, B, C, END], [A, C, B, END]] * 5
    one, three = (kneser_ney.KneserNey(rows, order, vocab_size=8) for order in (1, 3))
    assert three.perplexity(rows) < one.perplexity(rows) < 8
    assert three.perplexity([[C, A, A, END]]) > three.perplexity([[A, B, C, END]])
