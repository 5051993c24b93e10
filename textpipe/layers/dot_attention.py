"""Attention whose scores are products of query and key. Shapes as in attention.py."""

from keras import ops

from textpipe.layers.attention import Attention, batch_first, softmax, steps_last


class DotAttention(Attention):
    """score(q, k) = q . k (Luong et al. 2015, equation 8, dot); needs D = M."""

    scale = 1.0

    def build(self, *shapes):
        assert self.query_size == self.memory_size, (self.query_size, self.memory_size)
        super().build()

    def score(self, query, keys):
        return ops.matmul(query * self.scale, ops.transpose(keys, (0, 2, 1)))

    def score_step(self, query, keys, weights, covered):
        return ops.matmul(keys, (query * self.scale)[..., None])[..., 0]

    def score_backward_step(self, d_scores, query, keys, weights, covered):
        return ops.matmul(d_scores[..., None, :], keys)[..., 0, :] * self.scale, None

    def score_gradients(self, d_scores, query, keys, weights, covered):
        return ops.matmul(steps_last(d_scores), batch_first(query * self.scale)), {}


class ScaledDotAttention(DotAttention):
    """score(q, k) = q . k / sqrt(D) (Vaswani et al. 2017, equation 1); needs D = M."""

    @property
    def scale(self):
        return self.query_size**-0.5


class GeneralAttention(DotAttention):
    """score(q, k) = q W k (Luong et al. 2015, equation 8, general); W is applied to the memory, once."""

    def build(self, *shapes):
        self.weight = self.add_matrix(self.memory_size, self.query_size, "weight")
        self.built = True

    def keys(self, memory):
        return ops.matmul(memory, self.weight)


class MultiHeadAttention(DotAttention):
    """N scaled dot products of A / N columns each, their outputs concatenated (Vaswani et al. 2017, section 3.2.2).

    context = [softmax(q Wq_n (m Wk_n)' / sqrt(A / N)) m Wv_n for each head n] Wo. Keys and values [B, N, T, A / N] are
    computed once for each row. The returned weights are the mean over the heads.
    """

    def build(self, *shapes):
        assert self.attention_size % self.num_heads == 0, (self.attention_size, self.num_heads)
        self.query_weight = self.add_matrix(self.query_size, self.attention_size, "query_weight")
        self.key_weight = self.add_matrix(self.memory_size, self.attention_size, "key_weight")
        self.value_weight = self.add_matrix(self.memory_size, self.attention_size, "value_weight")
        self.output_weight = self.add_matrix(self.attention_size, self.memory_size, "output_weight")
        self.built = True

    @property
    def scale(self):
        return (self.attention_size // self.num_heads) ** -0.5

    def split_heads(self, columns):
        """[..., A] -> [..., N, A / N]."""
        return ops.reshape(columns, (*ops.shape(columns)[:-1], self.num_heads, self.attention_size // self.num_heads))

    def merge_heads(self, heads):
        """[..., N, A / N] -> [..., A]."""
        return ops.reshape(heads, (*ops.shape(heads)[:-2], self.attention_size))

    def prepare(self, memory):
        return {
            "keys": ops.transpose(self.split_heads(ops.matmul(memory, self.key_weight)), (0, 2, 1, 3)),
            "values": ops.transpose(self.split_heads(ops.matmul(memory, self.value_weight)), (0, 2, 1, 3)),
        }

    def loop_weights(self):
        return {"query": ops.copy(self.query_weight), "output": ops.copy(self.output_weight)}

    def mean_over_heads(self, attention):
        return ops.mean(attention, axis=-2)

    def call(self, query, keys, values, bias):
        query = ops.transpose(self.split_heads(ops.matmul(query, self.query_weight)), (0, 2, 1, 3))
        scores = ops.matmul(query * self.scale, ops.transpose(keys, (0, 1, 3, 2)))  # [B, N, U, T]
        weights = softmax(scores + bias[:, None, None, :])
        weighted_sum = self.merge_heads(ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3)))
        return ops.matmul(weighted_sum, self.output_weight), ops.mean(weights, axis=1)

    def forward_step(self, query, keys, values, bias, weights, covered=None):
        """query [B, N, A / N] -> weighted sum of the values [B, N, A / N], attention [B, N, T]."""
        return super().forward_step(query, keys, values, bias[:, None, :], weights, covered)
