"""A model loaded for repeated use, from disk or from a server's URL.

model = LoadedModel.load("saved_models/phrases_en_de")
model.predict(["The woman reads."])                     # [{"answer": "Die Frau liest.", "score": -0.04}]
model.score([{"source": "The woman reads.", "target": "Die Frau liest."}])
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.errors import ModelError
from textpipe.inference import cells, frames
from textpipe.savedmodel.description import DEFAULT
from textpipe.savedmodel.signatures import LIKELIHOOD, Signature, find_giving

if TYPE_CHECKING:
    import pandas as pd

    from textpipe.explanation.result import Explanation


class LoadedModel:
    """An exported model with its signatures.

    location: the directory or URL of its version; name, version: of the model; fields: of an input row;
    signatures: {name: {input: dtype}}.
    """

    def __init__(self, model: Any):
        """model: a savedmodel.loader.Model or a client.Client."""
        self.model = model
        self._scorer: Any = None

    @classmethod
    def load(cls, location: str | Path, *, token: str | None = None) -> "LoadedModel":
        """Load saved_models/NAME (its latest version), NAME/VERSION, or http://HOST:PORT/v1/models/NAME.

        token: a server's bearer token. Raises ModelError if the model does not exist or is damaged.
        """
        if isinstance(location, str) and location.startswith(("http://", "https://")):
            from textpipe.inference.client import Client

            return cls(Client(location, token=token))
        if token is not None:
            raise ModelError(f"{location}: a token is only for a server's URL; leave it out")
        from textpipe.savedmodel.loader import Model

        return cls(Model.load(location))

    @property
    def remote(self) -> bool:
        """Whether the model runs on a server."""
        return hasattr(self.model, "url")

    @property
    def location(self) -> str:
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
        from textpipe.savedmodel.loader import input_specs

        return {
            name: {key: spec.dtype.name for key, spec in input_specs(function).items()}
            for name, function in sorted(self.model.signatures.items())
        }

    def __repr__(self) -> str:
        return f"LoadedModel({self.location!r}, fields={self.fields}, signatures={list(self.signatures)})"

    def predict(
        self,
        rows: Any,
        *,
        signature: str = DEFAULT,
        options: Mapping[str, Any] | None = None,
        columns: Mapping[str, str | int] | None = None,
        frame: bool = False,
    ) -> "list[dict[str, Any]] | pd.DataFrame":
        """The outputs of a signature for each row, in order, as dicts by output name.

        rows: texts, dicts by field, a Series of texts, or a DataFrame with a column for each field; their cells may be lists,
        paths and so on, as on the command line. columns: {field: column of the DataFrame} where the names differ. options: settings of a generator's decoder, {"beam_size": 3}.
        frame: return a DataFrame with the index of the rows. Raises DataError for invalid rows.
        """
        reader = cells.reader_of(self.model)
        inputs, index = frames.to_rows(rows, self.model.dtypes, columns=columns, lists=reader.lists)
        answers = self.model.predict(reader.read(inputs), signature=signature, options=options)
        return frames.to_frame(answers, index, self.outputs(signature)) if frame else answers

    def explain(self, row: str | Mapping[str, Any], *, label: str | None = None) -> "Explanation":
        """Each word's contribution to the answer for a row, a text or a dict by field; see textpipe.explain.

        label: the class to explain; by default the answer.
        """
        from textpipe.explanation import explain
        from textpipe.explanation.subject import Subject

        return explain.explain(Subject.of(self.model), row, label=label)

    def outputs(self, signature: str) -> list[str]:
        """The output names of a signature; empty for a server, which does not report them."""
        return [] if self.remote else sorted(self.model.signatures[signature].structured_outputs)

    def score(
        self, rows: Any, *, columns: Mapping[str, str | int] | None = None, frame: bool = False
    ) -> "list[dict[str, Any]] | pd.DataFrame":
        """Log-probabilities of given answers: {"log_prob": -3.1, "tokens": 7, "perplexity": 1.56, ...} per pair.

        rows: dicts with the source fields and the target field, or a DataFrame with these columns.
        """
        fields = self.scored_fields
        reader = cells.reader_of(self.model)
        records, index = frames.to_rows(rows, fields, columns=columns, lists=reader.lists)
        pairs = reader.read(records)
        scores = self.remote_scores(pairs, fields) if self.remote else self.scorer.score(pairs)
        return frames.to_frame(scores, index) if frame else scores

    @property
    def scorer(self) -> Any:
        """The scorer of a model on disk."""
        if self._scorer is None:
            from textpipe.inference.scoring import Scorer

            self._scorer = Scorer.from_model(self.model)
        return self._scorer

    @property
    def scored_fields(self) -> dict[str, str]:
        """{field: dtype} of a pair: the sources, then the target."""
        if not self.remote:
            return self.scorer.fields
        targets = [name for name in self.likelihood.fields if name not in self.fields]
        if len(targets) != 1:
            raise self.cannot_score()
        return {**self.model.dtypes, targets[0]: "string"}

    @property
    def likelihood(self) -> Signature:
        """The signature that scores given answers; raises ModelError if there is none."""
        signature = find_giving(self.model.described.values(), LIKELIHOOD)
        if signature is None:
            raise self.cannot_score()
        return signature

    def cannot_score(self) -> ModelError:
        return ModelError(
            f"{self.location}: has no signature 'score' for a text and an answer; export the pipeline again"
        )

    def remote_scores(self, rows: Any, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Scores computed by a server."""
        from textpipe.inference.client import BATCH_ROWS
        from textpipe.inference.scoring import answer_module
        from textpipe.savedmodel.model_rows import parse_row

        scores: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [
                parse_row(fields, row, number) for number, row in enumerate(rows[start : start + BATCH_ROWS], start + 1)
            ]
            inputs = {field: [row[field] for row in batch] for field in fields}
            request = {"signature_name": self.likelihood.name, "inputs": inputs}
            outputs = self.model.ask(f"{self.model.url}:predict", request)["outputs"]
            scores += [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]
        return list(map(answer_module(self.model.about, scores[0]).score_row, scores)) if scores else []
