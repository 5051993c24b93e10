"""Compare systems on the same rows, by corpus metrics and row by row.   N rows, K systems, the first is the baseline."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.metrics import corpus, significance
from textpipe.metrics.corpus import Measure

References = Sequence[str | Sequence[str]]  # one reference or several per row
RESAMPLES, TRIALS = 1000, 10_000
SEED = 12345  # sacrebleu's default, so that its command line draws the same samples


def text_measures(
    answers: Sequence[Sequence[str]], references: References, *, bleu_tokenizer: str = "auto"
) -> list[Measure]:
    """Return BLEU, lowercased BLEU, chrF and TER measures of K systems' answers, with sacrebleu's signatures."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    from textpipe.metrics import bleu_tokenizers
    from textpipe.metrics.generation import as_list, bleu_statistics, edit_statistics, streams

    tokenize = bleu_tokenizers.choose([text for row in references for text in as_list(row)], bleu_tokenizer)
    bleu_scorers = {"bleu": BLEU(tokenize=tokenize), "bleu_lowercased": BLEU(lowercase=True, tokenize=tokenize)}
    signatures = {}
    for name, scorer in {**bleu_scorers, "chrf": CHRF(), "ter": TER()}.items():
        # The signature includes the number of references, which the scorer only knows after scoring.
        scorer.corpus_score(["x"] * len(references), streams([["x"] * len(as_list(row)) for row in references]))
        signatures[name] = str(scorer.get_signature())
    exact, lowered = (
        [bleu_statistics(system, references, lowercase=lowercase, tokenize=tokenize) for system in answers]
        for lowercase in (False, True)
    )
    characters = [corpus.chrf_statistics(system, references) for system in answers]
    edits = [edit_statistics(system, references) for system in answers]
    return [
        Measure("bleu", exact, corpus.bleu, signatures["bleu"]),
        Measure("bleu_lowercased", lowered, corpus.bleu, signatures["bleu_lowercased"]),
        Measure("chrf", characters, corpus.chrf, signatures["chrf"]),
        Measure("ter", edits, corpus.ter, signatures["ter"], less_is_better=True),
    ]


def label_measures(answers: Sequence[Sequence[str]], references: Sequence[str]) -> list[Measure]:
    """Return accuracy and macro F1 measures of K systems' answers; for two classes also F1 of the positive (second) one."""
    labels = sorted_labels(answers, references)
    correct = [np.array([[a == r] for a, r in zip(system, references, strict=True)], np.float64) for system in answers]
    classes = [corpus.class_statistics(system, references, labels) for system in answers]
    measures = [
        Measure("accuracy", correct, corpus.proportion(len(references)), percent=True),
        Measure("f1_macro", classes, corpus.f1_macro, percent=True),
    ]
    if len(labels) == 2:
        measures.append(Measure("f1", classes, lambda sums: corpus.f1_by_class(sums)[0][:, 1], percent=True))
    return measures


def sorted_labels(answers: Sequence[Sequence[str]], references: Sequence[str]) -> list[str]:
    """Return the sorted labels in references or answers; the second of two is the positive class."""
    return sorted({*references, *(answer for system in answers for answer in system)})


def compare(
    measures: Sequence[Measure], *, resamples: int = RESAMPLES, trials: int = TRIALS, seed: int = SEED
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Return a table and the resampled values [K, R] of each measure, by name.

    {"bleu": {"signature", "less_is_better", "systems": [...]}}; systems as returned by significance.compare.
    """
    tables, resampled = {}, {}
    for measure in measures:
        systems, resampled[measure.name] = significance.compare(measure, resamples=resamples, trials=trials, seed=seed)
        tables[measure.name] = {
            "signature": measure.signature,
            "less_is_better": measure.less_is_better,
            "systems": systems,
        }
    return tables, resampled


def row_scores(answers: Sequence[Sequence[str]], references: References) -> np.ndarray:
    """Return the chrF of each single answer: [K, N]."""
    return np.stack([corpus.chrf(corpus.chrf_statistics(system, references)) for system in answers])


def agreement(first: Sequence[str], second: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Count rows that both systems, only one, or neither answer correctly, with McNemar's p-value.

    {"both": 90, "only_first": 1, "only_second": 8, "neither": 1, "p_mcnemar": .0391}
    """
    first_correct = np.array([a == r for a, r in zip(first, references, strict=True)], bool)
    second_correct = np.array([a == r for a, r in zip(second, references, strict=True)], bool)
    only_first, only_second = int((first_correct & ~second_correct).sum()), int((second_correct & ~first_correct).sum())
    return {
        "both": int((first_correct & second_correct).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "neither": int((~first_correct & ~second_correct).sum()),
        "p_mcnemar": significance.mcnemar_p(only_first, only_second),
    }
