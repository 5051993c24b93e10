"""JSON, tf.Examples and TensorProtos as tensors, and back."""
