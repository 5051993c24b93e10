"""The parts of a row with their contributions, as a value and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

EXACT, OCCLUSION = "exact", "occlusion"
TOP = 20


@dataclass(frozen=True)
class Part:
    """A word, a punctuation mark or a whole number of a row.

    text: as in the row; start, end: its characters in the field's text, None where it is not in it (what a step of [normalize]
    inserted, or a number); contribution: see Contributions.
    """

    field: str
    text: str
    start: int | None
    end: int | None
    contribution: float


@dataclass(frozen=True)
class Feature:
    """A feature of a linear model in a row: an n-gram, a token or a number. value: its entry in the row; weight: of the class."""

    field: str
    name: str
    value: float
    weight: float

    @property
    def contribution(self) -> float:
        """value * weight"""
        return self.value * self.weight


@dataclass(frozen=True, repr=False, eq=False)
class Contributions:
    """The contribution of each part of a row to the answer: positive in favour of it, negative against it.

    method "exact", of a linear model: `logit`, the unnormalized log-probability or log-odds of `label`, is bias + the sum of the
    contributions of all parts + rest. "occlusion": a contribution is the fall of `logit`, the log-odds of `label`, when the part
    alone is left out (of a model that answers with text: of the answer's log-probability); bias and rest are None.

    row: the cells by field; answer, probability: the model's; label: the class explained, the answer of other models; parts: in the order of the
    row; rest: contributions that belong to no character (end tokens, for example); features: of a linear model, the strongest first; note: what was not examined.
    """

    model: str
    method: str
    row: Mapping[str, Any]
    answer: str
    label: str
    probability: float | None
    logit: float
    parts: Sequence[Part]
    bias: float | None = None
    rest: float | None = None
    features: Sequence[Feature] = ()
    note: str = ""
    labels: Sequence[str] = field(default=())

    def top(self, count: int = TOP) -> list[Part]:
        """The parts with the largest contributions, in absolute value."""
        return sorted((part for part in self.parts if part.contribution), key=lambda part: -abs(part.contribution))[
            :count
        ]

    @property
    def frame(self) -> "pd.DataFrame":
        """A DataFrame with a row for each part: field, text, start, end, contribution."""
        import pandas as pd

        names = ["field", "text", "start", "end", "contribution"]
        frame = pd.DataFrame([asdict(part) for part in self.parts], columns=names)
        return frame.astype({"start": "Int64", "end": "Int64", "contribution": float})

    def table(self, top: int = TOP) -> dict[str, Any]:
        """The explanation as a JSON object; `others` is the sum of the parts and features that are not among the top."""
        shown = self.top(top)
        exact = {"bias": self.bias, "rest": self.rest} if self.method == EXACT else {}
        features = [{**asdict(feature), "contribution": feature.contribution} for feature in list(self.features)[:top]]
        return {
            "model": self.model, "method": self.method, "answer": self.answer, "label": self.label,
            "probability": self.probability, "logit": self.logit, **exact,
            "parts": [asdict(part) for part in shown],
            "others": sum(part.contribution for part in self.parts) - sum(part.contribution for part in shown),
            **({"features": features} if features else {}),
            **({"note": self.note} if self.note else {}),
        }  # fmt: skip

    @property
    def quantity(self) -> str:
        """What the contributions are measured in."""
        if not self.labels:
            return "log-probability of the answer"
        return "logit" if self.method == EXACT else "log-odds"

    def __repr__(self) -> str:
        strongest = ", ".join(f"{part.text[:40]!r} {part.contribution:+.3g}" for part in self.top(3))
        return f"Explanation({self.label!r}, {self.quantity} {self.logit:.4g}: {strongest or 'no words'})"
