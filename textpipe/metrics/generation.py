"""Metrics of generated text against one or several references per row, with sacrebleu's signatures.

BLEU (Papineni et al. 2002), chrF (Popović 2015) and TER (Snover et al. 2006) are sacrebleu's (Post 2018), computed on
served answers and original references, without prior tokenization or normalization.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.metrics import bleu_tokenizers, bootstrap, corpus

NAMES = ("bleu", "bleu_lowercased", "chrf", "ter", "exact_match", "length_ratio", "empty_answers", "distinct_answers")


References = Sequence[str | Sequence[str]]  # one reference or several per row


def score(
    answers: Sequence[str],
    references: References,
    *,
    resamples: int = 1000,
    seed: int = 1,
    bleu_tokenizer: str = "auto",
) -> dict[str, Any]:
    """Return metrics, intervals and signatures of N answers.

    bleu_tokenizer: one of bleu_tokenizers.NAMES; "auto" chooses by the script of the references.

    bleu, bleu_lowercased, chrf and ter range from 0 to 100 (ter may exceed 100, and lower is better); exact_match is the
    fraction of answers equal to one of their references after collapsing whitespace; length_ratio is answer length over
    reference length in BLEU's tokens; empty_answers and distinct_answers are counts. Metrics of no rows are None.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    answers, references = list(answers), [as_list(row) for row in references]
    if not answers:
        return {"metrics": dict.fromkeys(NAMES), "intervals": {}, "signatures": {}}
    tokenize = bleu_tokenizers.choose([text for row in references for text in row], bleu_tokenizer)
    bleu_scorers = {"bleu": BLEU(tokenize=tokenize), "bleu_lowercased": BLEU(lowercase=True, tokenize=tokenize)}
    scorers = {**bleu_scorers, "chrf": CHRF(), "ter": TER()}
    statistics = {
        name: bleu_statistics(answers, references, lowercase=name != "bleu", tokenize=tokenize) for name in bleu_scorers
    }
    edits = edit_statistics(answers, references)  # [N, 2]
    chrf = scorers["chrf"].corpus_score(answers, streams(references))
    equal = np.array(
        [any(" ".join(a.split()) == " ".join(r.split()) for r in rs) for a, rs in zip(answers, references, strict=True)]
    )
    total = statistics["bleu"].sum(axis=0)
    values = {
        "bleu": bleu(total),
        "bleu_lowercased": bleu(statistics["bleu_lowercased"].sum(axis=0)),
        "chrf": chrf.score,
        "ter": ter(edits.sum(axis=0)),
        "exact_match": float(equal.mean()),
        "length_ratio": float(total[-2] / max(total[-1], 1)),
        "empty_answers": sum(not answer.strip() for answer in answers),
        "distinct_answers": len(set(answers)),
    }
    intervals = {}
    if resamples:
        options = {"resamples": resamples, "seed": seed}
        intervals = {name: bootstrap.confidence_interval(rows, bleu, **options) for name, rows in statistics.items()}
        characters = corpus.chrf_statistics(answers, references)
        intervals["chrf"] = bootstrap.confidence_interval(
            characters, lambda total: float(corpus.chrf(total[None])[0]), **options
        )
        intervals["ter"] = bootstrap.confidence_interval(edits, ter, **options)
        share = bootstrap.confidence_interval(equal[:, None], lambda count: count[0], **options)
        intervals["exact_match"] = [bound / len(answers) for bound in share]
    # The signature includes the number of references, which the scorer only knows after scoring.
    signatures = {}
    for name, scorer in scorers.items():
        scorer.corpus_score(answers, streams(references))
        signatures[name] = str(scorer.get_signature())
    return {"metrics": values, "intervals": intervals, "signatures": signatures}


def as_list(references: str | Sequence[str]) -> list[str]:
    """Return a row's references as a list: "a" -> ["a"]."""
    return [references] if isinstance(references, str) else list(references)


def streams(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Transpose references per row to sacrebleu's streams: [["a", "b"], ["c"]] -> [["a", "c"], ["b", None]]."""
    return [list(stream) for stream in itertools.zip_longest(*references)]


def bleu_statistics(
    answers: Sequence[str], references: References, *, lowercase: bool, tokenize: str = "13a"
) -> np.ndarray:
    """Return each row's statistics for corpus BLEU, [N, 10]: 4 match counts, 4 n-gram counts, answer and reference length."""
    from sacrebleu.metrics import BLEU

    # effective_order only affects sentence scores, which are not used; without it sacrebleu warns.
    scorer = BLEU(lowercase=lowercase, tokenize=tokenize, effective_order=True)
    rows = [scorer.sentence_score(a, as_list(r)) for a, r in zip(answers, references, strict=True)]
    return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], np.float64)


def bleu(total: np.ndarray) -> float:
    """Corpus BLEU, 0 to 100, of summed statistics [10], with exponential smoothing as in the signature."""
    from sacrebleu.metrics import BLEU

    counts = [int(value) for value in total]
    return BLEU.compute_bleu(counts[:4], counts[4:8], counts[8], counts[9], smooth_method="exp").score


def edit_statistics(answers: Sequence[str], references: References) -> np.ndarray:
    """Return each row's statistics for corpus TER, [N, 2]: edits and reference words."""
    from sacrebleu.metrics import TER

    scorer = TER()
    rows = [scorer.sentence_score(a, as_list(r)) for a, r in zip(answers, references, strict=True)]
    return np.array([[row.num_edits, row.ref_length] for row in rows], np.float64)


def ter(total: np.ndarray) -> float:
    """Corpus TER of summed statistics [2]: edits per 100 reference words; 100 if there are edits but no reference words."""
    edits, words = total
    return float(100 * edits / words) if words else 100.0 * bool(edits)
