"""Only answers/ and related packages depend on the kind of an answer, and no other code looks up signatures by name."""

import ast

import pytest

from textpipe.config import plugins

# Packages that may depend on kinds of answers and fields.
OWNERS = ("answers", "features", "kinds", "objectives", "tasks", "text/features")
# Further modules that may compare kinds; the list should stay empty.
KIND_EXCEPTIONS: set[str] = set()
KINDS = {"text", "label"}
SIGNATURES = {
    *(
        "serving_default",
        "nbest",
        "answer_until",
        "nbest_until",
        "options",
        "classify",
        "features",
        "score",
        "tokens",
        "attention",
        "begin",
        "advance",
        "rerank",
    )
}
# Names of signature tables and look-up functions, as seen in syntax trees.
TABLES = ("signatures", "definitions", "described", "signature_def", "methods", "records")
LOOK_UPS = ("signature", "definition", "predict")
READS_FORMAT_1 = "savedmodel/description.py"  # in which signatures are identified by name


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


def compares_kind(node):
    """model.generates, module.OUTPUT, field.kind == "text"."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("generates", "OUTPUT")
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    literal = set().union(*(constants(one) for one in sides if not isinstance(one, ast.Subscript | ast.Call)))
    names = {last_name(one) for one in sides}
    return bool(literal & KINDS) and bool(names & {"kind", "side_kind", "OUTPUT", "target"})


def looks_up_signature(node):
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
    names = {last_name(one) for one in sides}
    return bool(literal & SIGNATURES) and bool(names & {*TABLES, "signature", "signature_name"})


def violations(detects):
    return {name for name, tree in trees() if any(map(detects, ast.walk(tree)))}


def test_no_other_module_compares_kinds():
    assert violations(compares_kind) == KIND_EXCEPTIONS


def test_no_other_module_looks_up_signatures_by_name():
    assert violations(looks_up_signature) <= {READS_FORMAT_1}


@pytest.mark.parametrize(
    ("text", "detects"),
    [
        ("servable.generates", compares_kind),
        ("plugins.find('models', kind).OUTPUT != 'text'", compares_kind),
        ("field.kind == 'label'", compares_kind),
        ("kind in ('text', 'label')", compares_kind),
        ("size['kind'] == 'label'", compares_kind),
        ("signatures['nbest']", looks_up_signature),
        ("'begin' in version.signatures", looks_up_signature),
        ("servable.signature('score')", looks_up_signature),
        ("model.predict(rows, signature='attention')", looks_up_signature),
        ("signature in ('serving_default', 'nbest')", looks_up_signature),
    ],
)
def test_violations_are_detected(text, detects):
    assert any(map(detects, ast.walk(ast.parse(text))))


def test_other_code_is_not_reported():
    for text in ("row['score']", "record.kind == 'jsonl'", "outputs['tokens']", "field.kind", "'text' in row"):
        assert not any(
            detects(node) for detects in (compares_kind, looks_up_signature) for node in ast.walk(ast.parse(text))
        )
