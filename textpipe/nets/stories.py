"""What models that read a story sentence by sentence have in common.   Shapes: B batch, S sentences, U steps, L logits."""

from collections.abc import Mapping
from typing import Any

import keras


class StoryReader(keras.Model):
    """{story: ids, question: ids} -> logits [B, L], and what it attends to; subclasses define `attend`.

    story, question: names of the fields, which may be the same. steps: how many rows an attention map has; step: what one is called.
    """

    fixed_widths = False  # one traced training step serves batches of any width

    def __init__(self, *, story: str, question: str, step: str, steps: int, **options: Any) -> None:
        super().__init__(**options)
        self.story, self.question = story, question
        self.attention_names = [f"{step} {number}" for number in range(1, steps + 1)]

    @property
    def attended(self) -> str:
        """The field whose sentences `attend` weighs."""
        return self.story

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        return self.attend(inputs, training=training)[0]

    def attend(self, inputs: Mapping[str, Any], *, training: bool = False) -> tuple[Any, Any]:
        """Logits [B, L], and the weight of each sentence in each step [B, U, S]."""
        raise NotImplementedError
