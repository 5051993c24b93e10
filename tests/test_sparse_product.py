"""Sparse rows times a matrix: the bits of TensorFlow's own product, its gradient, and batches without rows or entries."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from textpipe.runtime import sparse_product


def rows(num_rows, dim=50, density=0.2):
    matrix = scipy.sparse.random(num_rows, dim, density, format="coo", dtype=np.float32, random_state=1)
    return tf.sparse.reorder(
        tf.SparseTensor(np.stack([matrix.row, matrix.col], 1).astype(np.int64), matrix.data, matrix.shape)
    )


@pytest.mark.parametrize(("num_rows", "density"), [(33, 0.2), (1, 0.5), (3, 0.0), (0, 0.0)])
def test_the_product_has_the_bits_of_the_dense_one_row_by_row(num_rows, density):
    kernel = tf.Variable(np.random.default_rng(2).normal(size=(50, 7)).astype(np.float32))
    sparse = rows(num_rows, density=density)
    traced = tf.function(
        sparse_product.matmul, input_signature=[tf.SparseTensorSpec([None, 50]), tf.TensorSpec([50, 7])]
    )
    product = traced(sparse, kernel)
    assert product.shape == (num_rows, 7)
    np.testing.assert_array_equal(product, tf.sparse.sparse_dense_matmul(sparse, kernel))
    for row in range(num_rows):  # the answer to a text does not depend on those beside it
        np.testing.assert_array_equal(
            traced(tf.sparse.slice(sparse, [row, 0], [1, 50]), kernel), product[row : row + 1]
        )


def test_the_gradient_is_that_of_numpy():
    kernel = tf.Variable(np.random.default_rng(2).normal(size=(50, 7)).astype(np.float32))
    sparse, weights = rows(33), np.random.default_rng(3).normal(size=(33, 7)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(sparse_product.matmul(sparse, kernel) * weights)
    expected = tf.sparse.to_dense(sparse).numpy().T.astype(np.float64) @ weights
    np.testing.assert_allclose(tape.gradient(loss, kernel), expected, rtol=1e-5, atol=1e-6)


def test_rows_of_other_types_are_multiplied_as_before():
    dense = np.random.default_rng(1).normal(size=(4, 50)).astype(np.float32)
    kernel = np.random.default_rng(2).normal(size=(50, 7)).astype(np.float32)
    np.testing.assert_allclose(sparse_product.matmul(tf.constant(dense), kernel), dense @ kernel, rtol=1e-5, atol=1e-5)
    half = tf.cast(rows(4), tf.bfloat16)
    assert sparse_product.matmul(half, tf.constant(kernel, tf.bfloat16)).dtype == tf.bfloat16
