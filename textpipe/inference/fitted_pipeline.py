"""The trained stages of a pipeline in memory of an estimator: their folders, the graph, and its export.

A pickle holds the files themselves, so it can be loaded on another machine.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.errors import DataError
from textpipe.inference import frame_files
from textpipe.pipeline import runner
from textpipe.pipeline.runner import Pipeline


class FittedPipeline:
    """pipeline: the checked settings. Its results are below a store, or below a temporary folder that is deleted with this object."""

    def __init__(self, pipeline: Pipeline, data: Any, store: str | Path | None):
        """Run the stages up to train on a DataFrame; store: None for a temporary folder."""
        self._root = self.temporary_folder() if store is None else Path(store)
        self.pipeline = frame_files.pipeline_with_data(pipeline, data, self._root)
        result = runner.run(self.pipeline, until="train", artifacts=self._root, on_event=ignore_event)
        self._artifacts = {stage: artifact.path.relative_to(self._root) for stage, artifact in result.artifacts.items()}
        self._files: dict[str, bytes] = {}  # of a pickle, until they are written
        self._graph: tuple[Any, Any] | None = None  # the servable and its function of rows, on first use

    def temporary_folder(self) -> Path:
        """A folder that is deleted with this object."""
        folder = Path(tempfile.mkdtemp(prefix="textpipe-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def folders(self) -> dict[str, Path]:
        """{stage: the folder of its result}."""
        if self._files:
            self._root = self.temporary_folder()
            for name, content in self._files.items():
                path = self._root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._files = {}
        return {stage: self._root / path for stage, path in self._artifacts.items()}

    def trained(self, name: str) -> Any:
        """A JSON file of train: model.json, train.json or vocabulary.json."""
        return json.loads((self.folders()["train"] / name).read_text(encoding="utf-8"))

    def labels(self) -> list[str]:
        """The labels in the order of the model's outputs."""
        fields = plugins.find("tasks", self.pipeline.task).FIELDS
        target = next(field.name for field in fields if field.side == "target")
        return list(self.trained("model.json")["sizes"][target]["classes"])

    def servable(self) -> Any:
        """The graph from raw rows to answers."""
        return self.graph()[0]

    def outputs(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Logits and probabilities of each row; columns: texts as bytes, or numbers, by field."""
        from textpipe.savedmodel import batching

        return batching.run_in_batches(self.graph()[1], columns)

    def graph(self) -> tuple[Any, Any]:
        """The servable, and a traced function {field: [B]} -> {"logits" [B, C], "probabilities" [B, C]}."""
        if self._graph is None:
            import tensorflow as tf

            from textpipe.servable.graph import Servable

            servable = Servable.load(self.folders(), self.pipeline.task)
            specs = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in servable.row_inputs.items()]

            @tf.function(input_signature=specs, autograph=False)
            def logits(*values: Any) -> dict[str, Any]:
                inputs = servable.inputs(dict(zip(servable.row_inputs, values, strict=True)))
                return {
                    "logits": servable.output.logits(inputs),
                    "probabilities": servable.output.probabilities(inputs),
                }

            self._graph = servable, logits.get_concrete_function()
        return self._graph

    def export(self, folder: Path) -> Path:
        """Publish the model as the next version of a folder; raises DataError without rows of valid, which are evaluated."""
        from textpipe.savedmodel import publish

        section: Any = self.pipeline.sections["ingest"]
        if not section.split.get("valid"):
            raise DataError("export: evaluates the rows of valid, but valid is 0; fit with valid=0.1, for example")
        self.folders()
        moved = section.model_copy(update={"files": self._root / self.data_file()})
        pipeline = replace(self.pipeline, sections={**self.pipeline.sections, "ingest": moved})
        with tempfile.TemporaryDirectory() as published:
            result = runner.run(
                pipeline, artifacts=self._root, saved_models=Path(published), on_event=ignore_event
            )  # fmt: skip
        return publish.publish(result.artifacts["export"].path / "model", folder)

    def data_file(self) -> Path:
        """The file of the training rows, relative to the store."""
        section: Any = self.pipeline.sections["ingest"]
        return Path(frame_files.FOLDER) / Path(section.files).name

    def __getstate__(self) -> dict[str, Any]:
        files = self._files
        if not files:
            folders = self.folders().values()
            paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
            paths.append(self._root / self.data_file())
            files = {str(path.relative_to(self._root)): path.read_bytes() for path in paths}
        return {**self.__dict__, "_root": Path(), "_files": files, "_graph": None}


def ignore_event(stage: str, state: str, text: str) -> None:
    """Progress of the stages, which an estimator does not print."""
