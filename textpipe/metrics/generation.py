"""Scores of generated text against one or several references a row, with the signatures that make them comparable.

BLEU (Papineni et al. 2002), chrF (Popović 2015) and TER (Snover et al. 2006) are sacrebleu's (Post 2018), taken on the
answers as they are served against the references as they were given: neither is tokenized or normalized first.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.metrics import bleu_tokenizers, bootstrap, corpus

NAMES = ("bleu", "bleu_lowercased", "chrf", "ter", "exact_match", "length_ratio", "empty_answers", "distinct_answers")


References = Sequence[str | Sequence[str]]  # a row's one reference, or all of them


def score(
    answers: Sequence[str],
    references: References,
    *,
    resamples: int = 1000,
    seed: int = 1,
    bleu_tokenizer: str = "auto",
) -> dict[str, Any]:
    """Figures, intervals and signatures of N answered rows.

    bleu_tokenizer: one of bleu_tokenizers.NAMES; "auto" chooses by the script of the references.

    bleu, bleu_lowercased, chrf and ter run from 0 to 100 (ter beyond, and less is better); exact_match is the share of
    answers equal to one of their references after runs of white space are joined; length_ratio is answer over reference in
    BLEU's tokens; empty_answers and distinct_answers are counts. A figure of no rows is None.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    answers, references = list(answers), [as_list(one) for one in references]
    if not answers:
        return {"metrics": dict.fromkeys(NAMES), "intervals": {}, "signatures": {}}
    tokenize = bleu_tokenizers.choose([one for own in references for one in own], bleu_tokenizer)
    both = {"bleu": BLEU(tokenize=tokenize), "bleu_lowercased": BLEU(lowercase=True, tokenize=tokenize)}
    scorers = {**both, "chrf": CHRF(), "ter": TER()}
    statistics = {
        name: bleu_statistics(answers, references, lowercase=name != "bleu", tokenize=tokenize) for name in both
    }
    edits = edit_statistics(answers, references)  # [N, 2]
    chrf = scorers["chrf"].corpus_score(answers, streams(references))
    equal = np.array(
        [any(" ".join(a.split()) == " ".join(r.split()) for r in rs) for a, rs in zip(answers, references, strict=True)]
    )
    total = statistics["bleu"].sum(axis=0)
    figures = {
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
        chosen = {"resamples": resamples, "seed": seed}
        intervals = {name: bootstrap.confidence_interval(rows, bleu, **chosen) for name, rows in statistics.items()}
        characters = corpus.chrf_statistics(answers, references)
        intervals["chrf"] = bootstrap.confidence_interval(
            characters, lambda total: float(corpus.chrf(total[None])[0]), **chosen
        )
        intervals["ter"] = bootstrap.confidence_interval(edits, ter, **chosen)
        share = bootstrap.confidence_interval(equal[:, None], lambda count: count[0], **chosen)
        intervals["exact_match"] = [bound / len(answers) for bound in share]
    # A signature says how the scorer was set; sacrebleu only gives it after the scorer has seen references.
    signatures = {}
    for name, scorer in scorers.items():
        scorer.corpus_score(answers, streams(references))
        signatures[name] = str(scorer.get_signature())
    return {"metrics": figures, "intervals": intervals, "signatures": signatures}


def as_list(references: str | Sequence[str]) -> list[str]:
    """A row's references: "a" -> ["a"]."""
    return [references] if isinstance(references, str) else list(references)


def streams(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """By row, to sacrebleu's streams: [["a", "b"], ["c"]] -> [["a", "c"], ["b", None]]."""
    return [list(stream) for stream in itertools.zip_longest(*references)]


def bleu_statistics(
    answers: Sequence[str], references: References, *, lowercase: bool, tokenize: str = "13a"
) -> np.ndarray:
    """What each row adds to corpus BLEU, [N, 10]: 4 counts of matches, 4 of n-grams, answer and reference length."""
    from sacrebleu.metrics import BLEU

    # Effective order concerns the score of a row alone, which is not used; without it sacrebleu warns.
    scorer = BLEU(lowercase=lowercase, tokenize=tokenize, effective_order=True)
    rows = [scorer.sentence_score(a, as_list(r)) for a, r in zip(answers, references, strict=True)]
    return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], np.float64)


def bleu(total: np.ndarray) -> float:
    """Corpus BLEU, 0 to 100, of summed statistics [10], with the signature's exponential smoothing."""
    from sacrebleu.metrics import BLEU

    counts = [int(value) for value in total]
    return BLEU.compute_bleu(counts[:4], counts[4:8], counts[8], counts[9], smooth_method="exp").score


def edit_statistics(answers: Sequence[str], references: References) -> np.ndarray:
    """What each row adds to corpus TER: [N, 2], edits and reference words."""
    from sacrebleu.metrics import TER

    scorer = TER()
    rows = [scorer.sentence_score(a, as_list(r)) for a, r in zip(answers, references, strict=True)]
    return np.array([[row.num_edits, row.ref_length] for row in rows], np.float64)


def ter(total: np.ndarray) -> float:
    """Corpus TER of summed statistics [2]: edits per 100 reference words; 100 for edits against nothing."""
    edits, words = total
    return float(100 * edits / words) if words else 100.0 * bool(edits)
