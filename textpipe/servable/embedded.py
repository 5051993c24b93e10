"""An exported model inside the graph of another, so that both are one SavedModel.

The embedded model keeps everything it was exported with: normalization, vocabulary, network and weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from textpipe.savedmodel import loader


class Embedded(tf.Module):
    """A model directory written by export, whose signatures can be called in another graph.

    Raises ModelError if the files differ from the manifest or the model cannot be loaded.
    """

    def __init__(self, folder: Path):
        super().__init__(name="embedded")
        model = loader.Model.load(folder)
        self._model = lambda: model  # an attribute would be saved with this module
        self.loaded = model.loaded  # saved with this module: its variables, tables and files

    @property
    def about(self) -> dict[str, Any]:
        """textpipe.json."""
        return self._model().about

    def call(self, signature: str, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The outputs of a signature for its inputs, taken by name from `tensors`, which may hold others."""
        function = self._model().signatures[signature]
        return function(**{name: tensors[name] for name in loader.input_specs(function)})
