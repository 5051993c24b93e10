"""What all tests share: the order they are started in, and the kernels a user has."""

import textpipe  # noqa: F401  chooses TensorFlow's kernels, which it must do before a test imports TensorFlow


def pytest_collection_modifyitems(items):
    # The slowest files first: started last, one of them would keep a single core busy while the others wait.
    items.sort(key=lambda item: "/system/" not in item.path.as_posix())
