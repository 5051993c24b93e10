"""A model that is loaded once and asked often, whether it lies on disk or behind a server's URL.

model = LoadedModel.load("saved_models/phrases_en_de")
model.predict(["The woman reads."])                     # [{"answer": "Die Frau liest.", "score": -0.04}]
model.score([{"source": "The woman reads.", "target": "Die Frau liest."}])
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.errors import ModelError
from textpipe.inference import frames
from textpipe.savedmodel.description import DEFAULT
from textpipe.savedmodel.signatures import LIKELIHOOD, Signature, giving

if TYPE_CHECKING:
    import pandas as pd


class LoadedModel:
    """An exported model with its signatures.

    place: its version's directory or URL; name, version: of the model; fields: the texts that a row has;
    signatures: {name: {input: dtype}}.
    """

    def __init__(self, model: Any):
        """model: a savedmodel.Model or a client.Client."""
        self.model = model
        self._scorer: Any = None

    @classmethod
    def load(cls, place: str | Path, *, token: str | None = None) -> "LoadedModel":
        """From saved_models/NAME (its latest version), NAME/VERSION, or http://HOST:PORT/v1/models/NAME.

        token: a server's bearer token. Raises ModelError when there is no model, or it is damaged.
        """
        if isinstance(place, str) and place.startswith(("http://", "https://")):
            from textpipe.inference.client import Client

            return cls(Client(place, token=token))
        if token is not None:
            raise ModelError(f"{place}: a token is for a server's URL; leave it out")
        from textpipe.savedmodel.loader import Model

        return cls(Model.load(place))

    @property
    def remote(self) -> bool:
        """Whether a server answers."""
        return hasattr(self.model, "url")

    @property
    def place(self) -> str:
        return self.model.url if self.remote else str(self.model.path)

    @property
    def name(self) -> str:
        return self.model.url.split("/models/")[1].split("/")[0] if self.remote else self.model.name

    @property
    def version(self) -> str:
        return self.model.version

    @property
    def fields(self) -> tuple[str, ...]:
        return self.model.fields

    @property
    def signatures(self) -> dict[str, dict[str, str]]:
        if self.remote:
            return {
                name: {key: dtype.removeprefix("DT_").lower() for key, dtype in inputs.items()}
                for name, inputs in sorted(self.model.inputs.items())
            }
        from textpipe.savedmodel.loader import inputs_of

        return {
            name: {key: spec.dtype.name for key, spec in inputs_of(function).items()}
            for name, function in sorted(self.model.signatures.items())
        }

    def __repr__(self) -> str:
        return f"LoadedModel({self.place!r}, fields={self.fields}, signatures={list(self.signatures)})"

    def predict(
        self,
        rows: Any,
        *,
        signature: str = DEFAULT,
        options: Mapping[str, Any] | None = None,
        columns: Mapping[str, str | int] | None = None,
        frame: bool = False,
    ) -> "list[dict[str, Any]] | pd.DataFrame":
        """What a signature gives for each row, a dict by output name, in order.

        rows: texts, dicts by field, a Series of texts, or a DataFrame with a column for each field. columns: {field: the
        DataFrame's column}, where it has another name. options: settings of a generator's decoder, {"beam_size": 3}.
        frame: give a DataFrame, with the index of the rows. Raises DataError for rows that are none.
        """
        given, index = frames.rows_of(rows, self.model.dtypes, columns=columns)
        found = self.model.predict(given, signature=signature, options=options)
        return frames.as_frame(found, index, self.outputs(signature)) if frame else found

    def outputs(self, signature: str) -> list[str]:
        """The outputs of a signature; a server does not tell them."""
        return [] if self.remote else sorted(self.model.signatures[signature].structured_outputs)

    def score(
        self, rows: Any, *, columns: Mapping[str, str | int] | None = None, frame: bool = False
    ) -> "list[dict[str, Any]] | pd.DataFrame":
        """How probable the model holds given answers: {"log_prob": -3.1, "tokens": 7, "perplexity": 1.56, ...} a pair.

        rows: dicts with the source fields and the target field, or a DataFrame with these columns.
        """
        fields = self.scored_fields
        given, index = frames.rows_of(rows, fields, columns=columns)
        found = self.remote_scores(given, fields) if self.remote else self.scorer.score(given)
        return frames.as_frame(found, index) if frame else found

    @property
    def scorer(self) -> Any:
        """What scores with a model on disk."""
        if self._scorer is None:
            from textpipe.inference.scoring import Scorer

            self._scorer = Scorer.of_model(self.model)
        return self._scorer

    @property
    def scored_fields(self) -> dict[str, str]:
        """{field: dtype} of what is scored, the sources and then the target."""
        if not self.remote:
            return self.scorer.fields
        others = [name for name in self.likelihood.fields if name not in self.fields]
        if len(others) != 1:
            raise self.not_scored()
        return {**self.model.dtypes, others[0]: "string"}

    @property
    def likelihood(self) -> Signature:
        """The signature that scores given answers; raises ModelError when there is none."""
        found = giving(self.model.described.values(), LIKELIHOOD)
        if found is None:
            raise self.not_scored()
        return found

    def not_scored(self) -> ModelError:
        return ModelError(f"{self.place}: has no signature 'score' of a text and an answer; export the pipeline again")

    def remote_scores(self, rows: Any, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Scores that a server gives."""
        from textpipe.inference.client import BATCH_ROWS
        from textpipe.inference.scoring import answers_of
        from textpipe.savedmodel.model_rows import by_field

        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [
                by_field(fields, row, number) for number, row in enumerate(rows[start : start + BATCH_ROWS], start)
            ]
            inputs = {field: [row[field] for row in batch] for field in fields}
            asked = {"signature_name": self.likelihood.name, "inputs": inputs}
            told = self.model.ask(f"{self.model.url}:predict", asked)["outputs"]
            found += [dict(zip(told, values, strict=True)) for values in zip(*told.values(), strict=True)]
        return list(map(answers_of(self.model.about, found[0]).score_row, found)) if found else []
