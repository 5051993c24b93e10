"""What an answer means is decided in one place: nobody else asks what a model answers with, or for a signature by its name."""

import ast

import pytest

from textpipe.config import plugins

# Who decides.
OWNERS = ("answers", "features", "kinds", "objectives", "tasks", "text/features")
# Modules that still ask what a field or an answer is; a module that is mended leaves the list.
ASK_KINDS: set[str] = set()
KINDS = {"text", "label"}
SIGNATURES = {
    *("serving_default", "nbest", "options", "classify", "features", "score", "tokens", "attention", "begin", "advance")
}
# Where signatures are looked up by name, as far as a syntax tree can tell.
TABLES = ("signatures", "definitions", "described", "signature_def", "methods", "records")
LOOK_UPS = ("signature", "definition", "predict")
READS_FORMAT_1 = "savedmodel/description.py"  # where signatures were known by their names


def trees():
    for path in sorted(plugins.PACKAGE_FOLDER.rglob("*.py")):
        name = path.relative_to(plugins.PACKAGE_FOLDER).as_posix()
        if not name.startswith(tuple(f"{owner}/" for owner in OWNERS)):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def last_name(node):
    """x, a.x, a.x() and a["x"] -> "x"."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Subscript):
        return node.slice.value if isinstance(node.slice, ast.Constant) else last_name(node.value)
    return getattr(node, "attr", getattr(node, "id", ""))


def constants(node):
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def asks_kind(node):
    """model.generates, module.OUTPUT, field.kind == "text"."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("generates", "OUTPUT")
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    literal = set().union(*(constants(one) for one in sides if not isinstance(one, ast.Subscript | ast.Call)))
    asked = {last_name(one) for one in sides}
    return bool(literal & KINDS) and bool(asked & {"kind", "side_kind", "OUTPUT", "target"})


def asks_signature(node):
    """signatures["nbest"], "begin" in version.signatures, model.signature("score"), name == "options"."""
    if isinstance(node, ast.Subscript):
        named = isinstance(node.slice, ast.Constant) and node.slice.value in SIGNATURES
        return named and last_name(node.value) in TABLES
    if isinstance(node, ast.Call):
        given = [*node.args, *(key.value for key in node.keywords if key.arg == "signature")]
        return last_name(node.func) in LOOK_UPS and any(
            isinstance(one, ast.Constant) and one.value in SIGNATURES for one in given
        )
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    literal = set().union(*(constants(one) for one in sides if not isinstance(one, ast.Subscript)))
    asked = {last_name(one) for one in sides}
    return bool(literal & SIGNATURES) and bool(asked & {*TABLES, "signature", "signature_name"})


def found(asks):
    return {name for name, tree in trees() if any(map(asks, ast.walk(tree)))}


def test_only_the_listed_modules_ask_what_a_field_or_an_answer_is():
    assert found(asks_kind) == ASK_KINDS


def test_nobody_asks_for_a_signature_by_its_name():
    assert found(asks_signature) <= {READS_FORMAT_1}


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("servable.generates", asks_kind),
        ("plugins.find('models', kind).OUTPUT != 'text'", asks_kind),
        ("field.kind == 'label'", asks_kind),
        ("kind in ('text', 'label')", asks_kind),
        ("size['kind'] == 'label'", asks_kind),
        ("signatures['nbest']", asks_signature),
        ("'begin' in version.signatures", asks_signature),
        ("servable.signature('score')", asks_signature),
        ("model.predict(rows, signature='attention')", asks_signature),
        ("signature in ('serving_default', 'nbest')", asks_signature),
    ],
)
def test_a_question_is_seen(text, asks):
    assert any(map(asks, ast.walk(ast.parse(text))))


def test_what_is_no_question_is_let_be():
    for text in ("row['score']", "record.kind == 'jsonl'", "outputs['tokens']", "field.kind", "'text' in row"):
        assert not any(asks(node) for asks in (asks_kind, asks_signature) for node in ast.walk(ast.parse(text)))
