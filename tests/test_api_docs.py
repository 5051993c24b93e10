"""docs/api.md is generated from the code and covers the public API."""

import importlib.util
from pathlib import Path

import textpipe

DOCS = Path(__file__).parents[1] / "docs"


def generated():
    spec = importlib.util.spec_from_file_location("docs_api", DOCS / "api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return "\n".join(module.page()) + "\n"


def test_the_page_is_up_to_date():
    assert (DOCS / "api.md").read_text(encoding="utf-8") == generated(), "run python docs/api.py > docs/api.md"


def test_every_public_function_has_a_docstring_and_types():
    for name in textpipe.__all__:
        value = getattr(textpipe, name)
        if callable(value) and not isinstance(value, type):
            assert value.__doc__, name
            assert "return" in value.__annotations__, name
            assert f"### textpipe.{name}" in generated()
