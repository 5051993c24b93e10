"""What a result depends on: section, input digests, files named in the section, code reached by imports, versions.

Each ingredient is kept by name, so that `textpipe plan` can say which one changed.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textpipe.cache import checksummed_json
from textpipe.cache.integrity import file_digest
from textpipe.cache.store import write_atomically
from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.errors import DataError, suggest

VERSIONED = ("tensorflow", "tensorflow-text", "keras", "sentencepiece")


def ingredients(
    stage: str, module: str, section: Section, inputs: dict[str, str], behind: list[Section]
) -> dict[str, Any]:
    """All that decides a stage's result: {"section": {...}, "inputs": {...}, "files": {...}, "code": {...}, "versions": {...}}.

    behind: sections of earlier stages whose plug-ins this stage runs again.
    """
    plugged = {plugins.module_name(room, kind) for part in (section, *behind) for room, kind in iter_plugins(part)}
    own = getattr(section, "extra_files", None)
    paths = set(iter_paths(section)) | set(own() if own else ())
    return {
        "stage": stage,
        "section": section.model_dump(mode="json"),
        "inputs": inputs,
        "files": {str(path): path_digest(path) for path in sorted(paths)},
        "code": {name: code_digest(name) for name in sorted(reachable_modules({module, *plugged}))},
        "versions": versions(),
    }


def key(of: dict[str, Any]) -> str:
    """SHA-256 of a stage's ingredients, in hexadecimal."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Which ingredients differ, in words: ["section train.epochs: 3 -> 5", "code textpipe.text.steps.case"]."""
    found = []
    for group in ("section", "files", "code", "versions", "inputs"):
        before, after = flat(old.get(group, {})), flat(new.get(group, {}))
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                detail = f": {before.get(name)!r} -> {after.get(name)!r}" if group in ("section", "versions") else ""
                found.append(f"{group} {name}{detail}")
    return found


def flat(tables: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables by dotted names: {"a": {"b": 1}} -> {"a.b": 1}; a list is one value."""
    if not isinstance(tables, dict):
        return {prefix: tables}
    return {
        name: value
        for part, table in tables.items()
        for name, value in flat(table, f"{prefix}.{part}".lstrip(".")).items()
    }


def iter_values(value: Any) -> Iterator[Any]:
    """Every leaf and every section below a checked section."""
    yield value
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from iter_values(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from iter_values(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_values(item)


def iter_paths(section: Section) -> Iterator[Path]:
    """Every Path a section names."""
    return (value for value in iter_values(section) if isinstance(value, Path))


def iter_plugins(section: Section) -> Iterator[tuple[str, str]]:
    """(room, kind) of every plug-in a section names, itself or by `plugins()`; a task is named by its string."""
    for value in iter_values(section):
        if isinstance(value, Section):
            task = getattr(value, "task", None)
            if isinstance(task, str):
                yield "tasks", task
                yield from (("kinds", field.kind) for field in plugins.find("tasks", task).FIELDS)
            yield from getattr(value, "plugins", tuple)()
            place = type(value).__module__
            kind = getattr(value, "kind", None)
            if isinstance(kind, str) and place.startswith("textpipe.") and place.endswith("." + kind):
                yield place.removeprefix("textpipe.").rpartition(".")[0], kind
            elif isinstance(kind, str) and "." in kind:
                yield "", kind


def path_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and sums of the files below a folder; raises DataError when it is missing."""
    if path.is_dir():
        sums = {
            item.relative_to(path).as_posix(): cached_digest(item) for item in sorted(path.rglob("*")) if item.is_file()
        }
        return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
    if not path.exists():
        near = sorted(other.name for other in path.parent.glob("*")) if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file{suggest(path.name, near) if near else ''}")
    return cached_digest(path)


def cached_digest(path: Path) -> str:
    """SHA-256 of a file, computed once per (path, size, time) in this process."""
    status = path.stat()
    return _digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    return file_digest(Path(path))


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the libraries whose behaviour is part of a result."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def reachable_modules(modules: set[str]) -> set[str]:
    """The modules and everything of textpipe (or of their own top package) they import, directly or not."""
    found: set[str] = set()
    waiting = ["textpipe", *modules]  # whatever is imported, the package is imported before it
    while waiting:
        name = waiting.pop()
        if name == "textpipe":  # hands names on when they are asked for; what it does itself is to choose kernels
            name = "textpipe.runtime.onednn"
        if name in found or source_path(name) is None:
            continue
        found.add(name)
        waiting += imports_of(name)
    return found


@functools.cache
def source_path(module: str) -> Path | None:
    """The source file of a module, found without importing it; None outside textpipe and the user's own."""
    parts = module.split(".")
    if parts[0] == "textpipe":
        stem = plugins.PACKAGE_FOLDER.joinpath(*parts[1:])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
        return None
    for root in (Path.cwd(),):
        path = root.joinpath(*parts).with_suffix(".py")
        if path.is_file():
            return path
    return None


def parse_code(text: str) -> ast.Module:
    """The syntax tree of a module's text, without docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def code_digest(module: str) -> str:
    """SHA-256 of a module's syntax tree: comments, docstrings and layout do not count."""
    return analyze(module)[0]


def imports_of(module: str) -> tuple[str, ...]:
    """Modules a module imports anywhere in its text, functions included."""
    return tuple(analyze(module)[1])


# {SHA-256 of (Python's version, module, its bytes): [digest of its tree, modules it imports]}: parsing eighty modules takes
# half a second, which a cached run has not got.
ANALYSES: dict[str, list[Any]] = {}


@functools.cache
def analyze(module: str) -> list[Any]:
    """[digest, imports] of a module, parsed only when its bytes were never seen."""
    path = source_path(module)
    assert path is not None
    raw = path.read_bytes()
    seen = hashlib.sha256(f"{sys.version_info[:2]} {module} ".encode() + raw).hexdigest()
    if seen not in ANALYSES:
        tree = parse_code(raw.decode("utf-8"))
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
        ANALYSES[seen] = [digest, list(imported_names(tree, package))]
    return ANALYSES[seen]


def imported_names(tree: ast.Module, package: str) -> dict[str, None]:
    """Names a tree imports, in order, as keys; package is what relative imports start from."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return dict.fromkeys(found)


@contextlib.contextmanager
def remembered(path: Path) -> Iterator[None]:
    """Take what is known of modules' code from a file, and leave there what was learned; the file may be deleted."""
    with contextlib.suppress(OSError, ValueError):
        ANALYSES.update(checksummed_json.loads(path.read_bytes())[0])
    before = len(ANALYSES)
    try:
        yield
    finally:
        if len(ANALYSES) > before and path.parent.is_dir():
            with contextlib.suppress(OSError):
                write_atomically(path, checksummed_json.dumps(ANALYSES))


__all__ = ["changes", "ingredients", "key", "remembered", "versions"]
