"""The further members of an ensemble of classifiers: exported models in the graph.   Shapes: B batch, C classes, M members.

Each keeps its own normalization, features, network and temperature, so members may differ in all of these.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import tensorflow as tf

from textpipe.answers._member_settings import check_member
from textpipe.savedmodel.loader import DEFAULT
from textpipe.servable.embedded import Embedded
from textpipe.servable.tracing import Raw


class Members(tf.Module):
    """Exported classifiers over the same fields and classes as a pipeline. folders: their model directories.

    Raises ConfigError for a model that does not fit, ModelError for one whose files differ from its manifest.
    """

    def __init__(self, folders: Sequence[Path], task: ModuleType, classes: Sequence[str]):
        super().__init__(name="members")
        labels = [check_member(folder, task, classes) for folder in folders]
        self.models = [Embedded(folder) for folder in folders]
        self.columns = [
            tf.constant([member_labels.index(label) for label in classes], tf.int32) for member_labels in labels
        ]

    def probabilities(self, raw: Raw) -> tf.Tensor:
        """Class probabilities, in the pipeline's order of classes: {field: [B]} -> [M, B, C]."""
        pairs = zip(self.models, self.columns, strict=True)
        return tf.stack(
            [tf.gather(model.call(DEFAULT, raw)["probabilities"], columns, axis=1) for model, columns in pairs]
        )
