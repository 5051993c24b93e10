"""Worker: repeats a large float32 matrix product in TensorFlow and counts its floating-point operations."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import time

import tensorflow as tf
from metronome import Metronome

product = tf.function(tf.matmul)
fastest = None
for size in (1024, 2048, 3072):
    a, b = tf.random.normal([size, size]), tf.random.normal([size, size])
    product(a, b).numpy()
    began = time.perf_counter()
    for _ in range(3):
        product(a, b)[0, 0].numpy()
    speed = 3 * 2 * size**3 / (time.perf_counter() - began)
    if fastest is None or speed > fastest[0]:
        fastest = speed, size, a, b
_, size, a, b = fastest
metronome = Metronome(size=size)
while True:
    product(a, b)[0, 0].numpy()
    metronome.tick(operations=2 * size**3)
