"""What all tests share: the order they are started in."""


def pytest_collection_modifyitems(items):
    # The slowest files first: started last, one of them would keep a single core busy while the others wait.
    items.sort(key=lambda item: "/system/" not in item.path.as_posix())
