"""Converts JSON, tf.Examples and TensorProtos to tensors, and back."""
