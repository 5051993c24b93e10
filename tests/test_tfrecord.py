"""TFRecord files of strangers."""

import pytest

from textpipe.savedmodel import tfrecord


@pytest.mark.parametrize("size", [100, 2**40, 2**64 - 1])
def test_a_record_longer_than_its_file_is_cut_off_and_nothing_of_that_size_is_allocated(tmp_path, size):
    length = tfrecord.LENGTH.pack(size)
    path = tmp_path / "x"
    path.write_bytes(length + tfrecord.CHECKSUM.pack(tfrecord.masked_crc(length)) + b"abc")
    with pytest.raises(ValueError, match="record 0 is cut off"):
        list(tfrecord.read(path))
