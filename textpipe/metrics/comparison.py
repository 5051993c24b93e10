"""Two or more systems on the same rows, figure by figure and row by row.   N rows, K systems, first the baseline."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.metrics import corpus, significance
from textpipe.metrics.corpus import Measure

References = Sequence[str | Sequence[str]]  # a row's one reference, or all of them
RESAMPLES, TRIALS = 1000, 10_000
SEED = 12345  # sacrebleu's own, so that its command line makes the same draws


def of_texts(
    answers: Sequence[Sequence[str]], references: References, *, bleu_tokenizer: str = "auto"
) -> list[Measure]:
    """BLEU, lowercased BLEU, chrF and TER of K systems' answers, with sacrebleu's signatures."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    from textpipe.metrics import bleu_tokenizers
    from textpipe.metrics.generation import as_list, bleu_statistics, edit_statistics, streams

    tokenize = bleu_tokenizers.choose([text for one in references for text in as_list(one)], bleu_tokenizer)
    both = {"bleu": BLEU(tokenize=tokenize), "bleu_lowercased": BLEU(lowercase=True, tokenize=tokenize)}
    signatures = {}
    for name, scorer in {**both, "chrf": CHRF(), "ter": TER()}.items():
        # A signature tells how many references there are, which the scorer only knows when it has seen them.
        scorer.corpus_score(["x"] * len(references), streams([["x"] * len(as_list(one)) for one in references]))
        signatures[name] = str(scorer.get_signature())
    exact, lowered = (
        [bleu_statistics(one, references, lowercase=low, tokenize=tokenize) for one in answers] for low in (False, True)
    )
    characters = [corpus.chrf_statistics(one, references) for one in answers]
    edits = [edit_statistics(one, references) for one in answers]
    return [
        Measure("bleu", exact, corpus.bleu, signatures["bleu"]),
        Measure("bleu_lowercased", lowered, corpus.bleu, signatures["bleu_lowercased"]),
        Measure("chrf", characters, corpus.chrf, signatures["chrf"]),
        Measure("ter", edits, corpus.ter, signatures["ter"], less_is_better=True),
    ]


def of_labels(answers: Sequence[Sequence[str]], references: Sequence[str]) -> list[Measure]:
    """Accuracy and macro F1 of K systems' answers; of two classes also F1 of the second, the positive one."""
    labels = classes_of(answers, references)
    right = [np.array([[a == r] for a, r in zip(one, references, strict=True)], np.float64) for one in answers]
    classes = [corpus.class_statistics(one, references, labels) for one in answers]
    found = [
        Measure("accuracy", right, corpus.proportion(len(references)), percent=True),
        Measure("f1_macro", classes, corpus.f1_macro, percent=True),
    ]
    if len(labels) == 2:
        found.append(Measure("f1", classes, lambda sums: corpus.f1_by_class(sums)[0][:, 1], percent=True))
    return found


def classes_of(answers: Sequence[Sequence[str]], references: Sequence[str]) -> list[str]:
    """The labels that stand in references or answers, sorted; of two the second is the positive one."""
    return sorted({*references, *(answer for one in answers for answer in one)})


def compare(
    measures: Sequence[Measure], *, resamples: int = RESAMPLES, trials: int = TRIALS, seed: int = SEED
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Tables by figure, and its resampled values [K, R] by figure.

    {"bleu": {"signature", "less_is_better", "systems": [...]}}; systems as significance.compare gives them.
    """
    tables, drawn = {}, {}
    for measure in measures:
        systems, drawn[measure.name] = significance.compare(measure, resamples=resamples, trials=trials, seed=seed)
        tables[measure.name] = {
            "signature": measure.signature,
            "less_is_better": measure.less_is_better,
            "systems": systems,
        }
    return tables, drawn


def row_scores(answers: Sequence[Sequence[str]], references: References) -> np.ndarray:
    """chrF of every answer alone: [K, N]."""
    return np.stack([corpus.chrf(corpus.chrf_statistics(one, references)) for one in answers])


def agreement(first: Sequence[str], second: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Rows that both have right, one alone, or neither, and McNemar's p-value.

    {"both": 90, "only_first": 1, "only_second": 8, "neither": 1, "p_mcnemar": .0391}
    """
    ours = np.array([a == r for a, r in zip(first, references, strict=True)], bool)
    theirs = np.array([a == r for a, r in zip(second, references, strict=True)], bool)
    alone = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return {
        "both": int((ours & theirs).sum()),
        "only_first": alone[0],
        "only_second": alone[1],
        "neither": int((~ours & ~theirs).sum()),
        "p_mcnemar": significance.mcnemar_p(*alone),
    }
