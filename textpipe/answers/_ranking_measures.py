"""How a ranker places the replies that were given.   Shapes: N rows, R responses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textpipe.answers import text
from textpipe.metrics import ranking
from textpipe.text.canonical import canonical

if TYPE_CHECKING:
    from textpipe.answers._candidates import Candidates
    from textpipe.answers._ranking import Output


def measure(
    graph: Any, raw: Mapping[str, Sequence[Any]], references: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """(metrics, notes): coverage, precision at 1, 3, 10 and 20 and mean reciprocal rank of the rows whose reply has a wording of a
    response, the same rows' mean reciprocal rank by frequency, and over all rows 1-of-100 accuracy or, of a ranker by likelihood, the
    perplexity of the references."""
    output: Output = graph.output
    members: dict[str, int] = {}
    for number, response in enumerate(output.responses()):
        for wording in (response.text, *response.variants):
            members.setdefault(canonical(wording), number)
    reference_numbers = np.array([members.get(canonical(reference), -1) for reference in references])
    reference_ranks, messages, replies = [], [], []
    for start in range(0, len(references), batch_rows):
        rows = slice(start, start + batch_rows)
        raw_rows = {name: graph.raw_tensor(name, cells[rows]) for name, cells in raw.items()}
        target = {graph.target: graph.raw_tensor(graph.target, references[rows])}
        inputs = graph.inputs(raw_rows)
        if hasattr(output.ranker, "messages"):
            messages.append(output.ranker.messages(inputs).numpy())
            replies.append(output.ranker.replies(target).numpy())
        candidates = output.candidates(raw_rows, inputs)
        reference_ranks.append(ranks(candidates, reference_numbers[rows], len(output.responses())))
    metrics: dict[str, float] = {"coverage": float(np.mean(reference_numbers >= 0))}
    count = np.count_nonzero(reference_numbers >= 0)
    note = f"ranks are of the {count:,} rows whose reply, apart from case and punctuation, is in the response set"
    notes = [f"{note} of {len(output.responses()):,}, itself or as a variant; equal scores share their mean rank."]
    if metrics["coverage"]:
        metrics |= ranking.figures(np.concatenate(reference_ranks))
        counts = [response.count for response in output.responses()]
        metrics["mrr_by_frequency"] = float(
            np.mean(1 / ranking.by_frequency(counts, reference_numbers[reference_numbers >= 0]))
        )
    if messages:
        metrics |= ranking.one_of(np.concatenate(messages), np.concatenate(replies))
    elif len(graph.sources) == 1:
        perplexity, note = text.reference_perplexity(graph, raw[graph.source], references, batch_rows)
        metrics |= perplexity
        notes.append(note)
    if "one_of_100" in metrics:
        notes.append("one_of_100: up to 2,000 rows drawn by numpy's default_rng(1), in groups of 100.")
    return metrics, notes


def ranks(candidates: "Candidates", reference_numbers: np.ndarray, count: int) -> np.ndarray:
    """The places, from 1, of the responses `reference_numbers` [N] among `count`; rows whose number is -1 are left out.

    Equal scores share their mean place, and so do the responses that are no candidates, behind all that are.
    """
    known = reference_numbers >= 0
    scores = candidates.scores.numpy()[known]
    if candidates.numbers is None:
        return ranking.ranks(scores, reference_numbers[known])
    numbers, reference_numbers = candidates.numbers.numpy()[known], reference_numbers[known]
    matches = numbers == reference_numbers[:, None]
    is_candidate, present = matches.any(axis=1), (numbers >= 0).sum(axis=1)
    inside = ranking.ranks(scores, matches.argmax(axis=1))
    return np.where(is_candidate, inside, (present + 1 + count) / 2)
