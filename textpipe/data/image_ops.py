"""Decoding pictures in a graph: bytes of PNG and JPEG files -> pixels of one size.   Shapes: N rows, H x W pixels, C channels."""

from typing import Any

import tensorflow as tf

from textpipe.data.image_file import JPEG_END, JPEG_SIGNATURE, MAX_BYTES, MAX_PIXELS, PNG_END, PNG_SIGNATURE

ABSENT, DARKEST = 0, 1  # values of a pixel: of no picture, and the lowest of a picture
WHITE = 255.0  # behind transparent pixels
TAIL = 4096  # bytes in which the end of a file must be


def decode(contents: tf.Tensor) -> tf.Tensor:
    """The pixels of one PNG or JPEG file: [] string -> [h, w, 3] float32, 0 to 255.

    Gray becomes RGB, CMYK is converted, 16 bits become 8, transparent pixels are shown before white, and of an animation
    the first picture counts. Fails with InvalidArgumentError for other files, and before decoding for one of too many
    bytes or pixels, or one that is cut off.
    """
    size = tf.strings.length(contents)
    contents = require(contents, size <= MAX_BYTES, f"a picture of at most {MAX_BYTES:,} bytes, found", size)
    is_png = tf.equal(tf.strings.substr(contents, 0, len(PNG_SIGNATURE)), PNG_SIGNATURE)
    is_jpeg = tf.equal(tf.strings.substr(contents, 0, len(JPEG_SIGNATURE)), JPEG_SIGNATURE)
    contents = require(contents, is_png | is_jpeg, "a PNG or JPEG file, found one of another kind, with bytes:", size)
    tail = tf.io.decode_raw(tf.strings.substr(contents, tf.maximum(size - TAIL, 0), TAIL), tf.uint8)
    ends = tf.cond(is_png, lambda: contains(tail, PNG_END), lambda: contains(tail, JPEG_END))
    expected = "a complete PNG or JPEG file, found one that ends too early, after bytes:"
    contents = require(contents, ends, expected, size)
    return tf.cond(is_png, lambda: decode_png(contents), lambda: decode_jpeg(contents))


def contains(data: tf.Tensor, pattern: bytes) -> tf.Tensor:
    """Whether bytes [n] uint8 have a pattern: [] bool."""
    count = tf.maximum(tf.size(data) - len(pattern) + 1, 0)
    equal = [tf.equal(data[at : at + count], byte) for at, byte in enumerate(pattern)]
    return tf.reduce_any(tf.reduce_all(tf.stack(equal), axis=0))


def decode_png(contents: tf.Tensor) -> tf.Tensor:
    """[] string -> [h, w, 3] float32, 0 to 255, before white."""
    # Eight bytes for width and height follow a signature, a length and a name of 16; padded, so that they exist.
    header = tf.io.decode_raw(tf.strings.substr(contents + b"\0" * 24, 16, 8), tf.uint8)
    digits = tf.reshape(tf.cast(header, tf.int64), [2, 4])
    dimensions = tf.linalg.matvec(digits, tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64))
    contents = require_size(contents, tf.reduce_prod(dimensions))
    pixels = tf.cast(tf.io.decode_png(contents, channels=4), tf.float32)
    alpha = pixels[:, :, 3:] / 255.0
    return pixels[:, :, :3] * alpha + WHITE * (1.0 - alpha)


def decode_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """[] string -> [h, w, 3] float32, 0 to 255."""
    shape = tf.image.extract_jpeg_shape(contents, tf.int64)
    contents = require_size(contents, shape[0] * shape[1])
    return tf.cast(tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"), tf.float32)


def require_size(contents: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """The contents of a picture; fails for one of more than MAX_PIXELS."""
    holds = (pixels > 0) & (pixels <= MAX_PIXELS)
    return require(contents, holds, f"a picture of 1 to {MAX_PIXELS:,} pixels, found", pixels)


def require(contents: tf.Tensor, holds: tf.Tensor, expected: str, actual: tf.Tensor) -> tf.Tensor:
    """The contents, which exist only once the condition was found to hold; else fails with InvalidArgumentError "expected ..."."""
    check = tf.debugging.Assert(holds, [f"expected {expected}", actual])
    with tf.control_dependencies([] if check is None else [check]):  # None when run op by op
        return tf.identity(contents)


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
def decoded(contents: tf.Tensor) -> tf.Tensor:
    """`decode` as a traced function, for one picture after another: [] string -> [h, w, 3] uint8. Fails as `decode`."""
    return tf.cast(tf.round(decode(contents)), tf.uint8)


def to_pixels(contents: tf.Tensor, *, height: int, width: int, channels: int) -> tf.Tensor:
    """Pictures stretched to one size: [N] string -> [N, H, W, C] uint8, 1 (darkest) to 255; 0 everywhere for an empty string.

    Resizing is bilinear, with a wider kernel where a picture shrinks.
    """
    spec = tf.TensorSpec([height, width, channels], tf.uint8)

    def picture(one: Any) -> tf.Tensor:
        pixels = tf.image.resize(decode(one), [height, width], antialias=True)
        pixels = tf.image.rgb_to_grayscale(pixels) if channels == 1 else pixels
        pixels = tf.cast(tf.clip_by_value(tf.round(pixels), DARKEST, 255), tf.uint8)
        return tf.ensure_shape(pixels, spec.shape)

    def row(one: Any) -> tf.Tensor:
        return tf.cond(tf.equal(one, ""), lambda: tf.zeros(spec.shape, tf.uint8), lambda: picture(one))

    return tf.map_fn(row, contents, fn_output_signature=spec)
