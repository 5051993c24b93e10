"""docs/api.md is made from the code, and says all of what is public."""

import importlib.util
from pathlib import Path

import textpipe

DOCS = Path(__file__).parents[1] / "docs"


def made():
    spec = importlib.util.spec_from_file_location("docs_api", DOCS / "api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return "\n".join(module.page()) + "\n"


def test_the_page_is_what_the_code_says():
    assert (DOCS / "api.md").read_text(encoding="utf-8") == made(), "run python docs/api.py > docs/api.md"


def test_every_public_function_has_words_and_types():
    for name in textpipe.__all__:
        value = getattr(textpipe, name)
        if callable(value) and not isinstance(value, type):
            assert value.__doc__, name
            assert "return" in value.__annotations__, name
            assert f"### textpipe.{name}" in made()
