"""End-to-end memory network.   Shapes: B batch, T tokens, S sentences, K hops, D vector, V vocabulary, C classes, L logits.

Sukhbaatar, Szlam, Weston and Fergus 2015, End-To-End Memory Networks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from textpipe.layers import sentences as split_sentences
from textpipe.layers.sentences import PositionEncoding
from textpipe.nets.stories import StoryReader


class MemoryNetwork(StoryReader):
    """{story: ids [B, T], question: ids [B, Q]} -> logits [B, L]; L = 1 for two classes, the log-odds of the second.

    The sentences of the story are memories. In each hop the question's vector u selects memories: p = softmax(u . m), o = sum of p c, and
    u + o is the vector of the next hop. Embeddings are adjacent: c of a hop is m of the next, and m of the first hop embeds the question.
    The logits are those of the last c: an answer that is a word of the vocabulary has the word's vector, other answers have their own.

    class_words: the id of each class as a word, -1 for none.
    The softmax is over max_sentences memories, as in the authors' program: those that a story does not fill are 0.
    linear_start: epochs, from the first, in which p = u . m (section 4.2). empty_memories: largest share of empty memories put between
    the sentences in training (section 4.1, random noise); only the ages of sentences show them.
    """

    def __init__(
        self,
        *,
        story: str,
        question: str,
        vocab_size: int,
        max_sentences: int,
        max_words: int,
        class_words: Sequence[int],
        size: int,
        hops: int,
        linear_start: int,
        empty_memories: float,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(story=story, question=question, step="hop", steps=hops, **options)
        self.vocab_size, self.max_sentences = vocab_size, max_sentences
        self.class_words = tuple(class_words)
        self.size, self.hops, self.linear_start, self.empty_memories = size, hops, linear_start, empty_memories
        self.seed_value = seed * 100_003
        self.encode = PositionEncoding(size, max_words, name="position_encoding")
        self.draws = keras.random.SeedGenerator(self.seed_value + 90_000) if empty_memories else None

    def build(self, input_shape: Any = None) -> None:
        def normal(shape: tuple[int, ...], number: int, name: str) -> Any:
            initializer = keras.initializers.RandomNormal(stddev=0.1, seed=self.seed_value + number)
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        self.encode.build(None)
        tables = range(self.hops + 1)
        self.embeddings = [normal((self.vocab_size, self.size), at, f"embedding_{at}") for at in tables]
        # Row i is the vector of the i-th newest sentence; row 0 is that of none.
        shape = (self.max_sentences + 1, self.size)
        self.times = [normal(shape, 100 + at, f"time_{at}") for at in tables]
        num_answers = self.class_words.count(-1)
        self.answers = normal((num_answers, self.size), 200, "answers") if num_answers else None
        if self.linear_start:
            # 1 while memories are selected without a softmax; kept with the weights, for weights of that phase only work so.
            self.linear = self.add_weight(shape=(), initializer="ones", trainable=False, autocast=False, name="linear")
        self.built = True

    def start_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch, from 1: ends the linear start."""
        if self.linear_start:
            self.linear.assign(1.0 if epoch <= self.linear_start else 0.0)

    def attend(self, inputs: Mapping[str, Any], *, training: bool = False) -> tuple[Any, Any]:
        """Logits [B, L], and the weight of each sentence in each hop [B, K, S]."""
        words = ops.concatenate([ops.convert_to_tensor(table) for table in self.embeddings], axis=1)  # [V, (K + 1) D]
        times = ops.concatenate([ops.convert_to_tensor(table) for table in self.times], axis=1)
        story = split_sentences.split(inputs[self.story])
        memories = self.encode(ops.take(words, story.ids, axis=0), story)  # [B, S, (K + 1) D]
        age = self.ages(story, training)
        memories = memories + ops.take(times, ops.clip(age, 0, self.max_sentences), axis=0)
        question_sentences = split_sentences.split(inputs[self.question])
        question = self.encode(ops.take(self.embeddings[0], question_sentences.ids, axis=0), question_sentences)
        vector = ops.sum(question, axis=1)  # [B, D]
        real = ops.cast(story.real, words.dtype)
        by_hop = ops.split(memories, self.hops + 1, axis=2)
        weights = []
        for hop in range(self.hops):
            keys, values = by_hop[hop], by_hop[hop + 1]
            scores = ops.sum(keys * vector[:, None], axis=2)  # [B, S]
            weight = split_sentences.softmax(scores, story.real, self.max_sentences)
            if self.linear_start:
                weight = ops.where(ops.convert_to_tensor(self.linear) > 0, scores * real, weight)
            weights.append(weight)
            vector = vector + ops.sum(weight[:, :, None] * values, axis=1)
        return self.logits(vector), ops.stack(weights, axis=1)

    def ages(self, story: split_sentences.Sentences, training: bool) -> Any:
        """The age of each sentence [B, S], in training as if empty memories were among them.

        Up to empty_memories times as many as there are sentences, rounded up, each at a random place.
        """
        if not training or not self.draws:
            return story.age
        count = ops.cast(ops.sum(ops.cast(story.real, "int32"), axis=1), "float32")[:, None]  # [B, 1]
        most = int(-(-self.max_sentences * self.empty_memories // 1))
        uniform = keras.random.uniform((ops.shape(count)[0], most + 1), seed=self.draws, dtype="float32")
        number = ops.floor(uniform[:, :1] * (ops.ceil(count * self.empty_memories) + 1))  # [B, 1]
        num_newer = ops.floor(uniform[:, 1:] * (count + 1))  # [B, M]: how many sentences are newer than an empty memory
        used = ops.arange(most, dtype="float32")[None] < number
        newer = ops.logical_and(
            num_newer[:, None] < ops.cast(story.age, "float32")[:, :, None], used[:, None]
        )  # [B, S, M]
        return story.age + ops.sum(ops.cast(newer, "int32"), axis=2)

    def logits(self, vector: Any) -> Any:
        """Logits of vectors [B, D]."""
        last = self.embeddings[self.hops]
        table = ops.convert_to_tensor(last) if self.answers is None else ops.concatenate([last, self.answers], axis=0)
        rows, num_answers = [], 0
        for word in self.class_words:
            rows.append(word if word >= 0 else self.vocab_size + num_answers)
            num_answers += word < 0
        logits = ops.matmul(vector, ops.transpose(ops.take(table, ops.convert_to_tensor(rows, "int32"), axis=0)))
        return logits[:, 1:] - logits[:, :1] if len(rows) == 2 else logits
