"""Datatypes of the Open Inference Protocol, and TensorFlow's names for them."""

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}


def datatype_of(dtype: str) -> str:
    """ "float32" -> "FP32"; TensorFlow's name in capitals for a type that the protocol lacks, such as COMPLEX64."""
    return DATATYPES.get(dtype, dtype.upper())
