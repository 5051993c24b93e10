"""Which intents a person gave to responses, and how they spread to the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from textpipe.answers import _response_set
from textpipe.answers._response_set import POLARITIES, Response
from textpipe.config.sections import Section
from textpipe.errors import DataError, join_names, suggest
from textpipe.text.canonical import canonical

HEADERS = (["response", "intent"], ["response", "intent", "polarity"])
UNKNOWN_LISTED = 5  # lines with unknown responses that an error names


class Propagation(Section):
    """[responses.propagation]

    How the intents of examples spread to similarly worded responses (Kannan et al. 2016, section 4; mu_np is 1). seed_weight: how firmly an
    example keeps its intent (s). uniform_weight: how strongly a node is drawn to the uniform distribution over intents (mu_pp).
    threshold: minimum probability of a response's intent. margin: how many times as probable as the second intent it must be.
    evidence: how much of a response's distribution must come from examples rather than from the uniform one.
    new_intents: number of intents that a round creates, from responses drawn among those without one. rounds: number of such rounds.
    """

    seed_weight: float = Field(default=10.0, gt=0, le=1e6)
    uniform_weight: float = Field(default=0.1, ge=0, le=1e3)
    iterations: int = Field(default=5, ge=1, le=100)  # updates of all nodes
    threshold: float = Field(default=0.3, ge=0, le=1)
    margin: float = Field(default=1.5, ge=1, le=1e6)
    evidence: float = Field(default=0.15, ge=0, le=1)
    new_intents: int = Field(default=100, ge=0, le=1000)
    rounds: int = Field(default=5, ge=0, le=20)


def read(path: Path) -> dict[int, tuple[str, str, str]]:
    """Lines of response, intent and perhaps polarity, with tabs between them: {line: (response, intent, polarity)}.

    A first line that names these columns is left out. Raises DataError that names the line of a fault.
    """
    rows: dict[int, tuple[str, str, str]] = {}
    for number, line in enumerate(_response_set.lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip() or (number == 1 and cells in HEADERS):
            continue
        if len(cells) not in (2, 3) or not all(cells[:2]):
            raise DataError(
                f"{path}, line {number}: expected a response, its intent and perhaps a polarity, with tabs between them, found {line!r}"
            )
        polarity = cells[2] if len(cells) == 3 else ""
        if polarity not in POLARITIES:
            raise DataError(
                f"{path}, line {number}: expected a polarity of positive, negative, neutral or nothing, found {polarity!r}"
            )
        rows[number] = (cells[0], cells[1], polarity)
    if not rows:
        raise DataError(f"{path}: contains no line with a response and its intent")
    return rows


def examples(path: Path, responses: Sequence[Response]) -> tuple[dict[int, str], dict[str, int]]:
    """The intents that a file and the responses themselves give: {place: intent}, and {intent: polarity}.

    A response of the file is found by its text, else by its canonical form. Raises DataError with the line for a response that is not in
    the set, one with two intents, and an intent with two polarities.
    """
    exact = {response.text: position for position, response in enumerate(responses)}
    alike = {canonical(response.text): position for position, response in reversed(list(enumerate(responses)))}
    intents = {position: response.intent for position, response in enumerate(responses) if response.intent}
    lines: dict[int, int] = {}
    polarities: dict[str, tuple[int, str]] = {}  # of intents: the line and the polarity
    unknown: list[tuple[int, str]] = []
    for number, (text, intent, polarity) in read(path).items():
        position = exact.get(text, alike.get(canonical(text)))
        if position is None:
            unknown.append((number, text))
            continue
        if intents.setdefault(position, intent) != intent:
            where = f"line {lines[position]}" if position in lines else "the response set"
            raise DataError(
                f"{path}, line {number}: the response {text!r} has the intent {intent!r} here and {intents[position]!r} in {where}; keep one"
            )
        lines.setdefault(position, number)
        if polarity and polarities.setdefault(intent, (number, polarity))[1] != polarity:
            earlier, later = polarities[intent]
            raise DataError(
                f"{path}, line {number}: the intent {intent!r} is {polarity} here and {later} in line {earlier}; keep one"
            )
    if unknown:
        number, text = unknown[0]
        more = f" (so are those of lines {join_names(str(at) for at, _ in unknown[1:])})" if len(unknown) > 1 else ""
        raise DataError(
            f"{path}, line {number}: {text!r} is not in the response set{more}{suggest(text, list(exact))}; "
            "take responses from responses.tsv, or drop the line"
        )
    return intents, signs(responses, {intent: POLARITIES[polarity] for intent, (_, polarity) in polarities.items()})


def signs(responses: Sequence[Response], explicit: Mapping[str, int]) -> dict[str, int]:
    """The polarity of each intent: the given one, else the one that all its responses have, else 0."""
    polarities_by_intent: dict[str, set[int]] = {}
    for response in responses:
        polarities_by_intent.setdefault(response.intent, set()).add(response.polarity)
    return {
        intent: next(iter(polarities)) if len(polarities) == 1 else 0
        for intent, polarities in polarities_by_intent.items()
        if intent
    } | dict(explicit)


__all__ = ["Propagation", "examples", "read"]
