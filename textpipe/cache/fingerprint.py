"""The fingerprint of a stage's result: everything that the result depends on, and its hash, the cache key.

A fingerprint has the stage's section, the digests of its inputs and of the files that the section names, the digests of
all imported modules, and library versions. Entries have names, so that `textpipe plan` can say which of them changed.
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

VERSIONED_LIBRARIES = ("tensorflow", "tensorflow-text", "keras", "sentencepiece")


def compute(
    stage: str, module: str, section: Section, inputs: dict[str, str], upstream: list[Section]
) -> dict[str, Any]:
    """A stage's fingerprint: {"stage": ..., "section": {...}, "inputs": {...}, "files": ..., "code": ..., "versions": ...}.

    inputs: digests by stage; upstream: sections of earlier stages whose plug-ins this stage runs too.
    """
    plugin_modules = {
        plugins.module_name(package, kind) for table in (section, *upstream) for package, kind in iter_plugins(table)
    }
    extra_files = getattr(section, "extra_files", None)
    paths = set(iter_paths(section)) | set(extra_files() if extra_files else ())
    return {
        "stage": stage,
        "section": section.model_dump(mode="json"),
        "inputs": inputs,
        "files": {str(path): path_digest(path) for path in sorted(paths)},
        "code": {name: code_digest(name) for name in sorted(reachable_modules({module, *plugin_modules}))},
        "versions": library_versions(),
    }


def key(fingerprint: dict[str, Any]) -> str:
    """The cache key: SHA-256 of a fingerprint, in hexadecimal."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The differences of two fingerprints: ["section train.epochs: 3 -> 5", "code textpipe.text.steps.case"]."""
    differences = []
    for group in ("section", "files", "code", "versions", "inputs"):
        before, after = flatten(old.get(group, {})), flatten(new.get(group, {}))
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                detail = f": {before.get(name)!r} -> {after.get(name)!r}" if group in ("section", "versions") else ""
                differences.append(f"{group} {name}{detail}")
    return differences


def flatten(tables: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table with dotted names: {"a": {"b": 1}} -> {"a.b": 1}; a list counts as one value."""
    if not isinstance(tables, dict):
        return {prefix: tables}
    return {
        name: value
        for key, table in tables.items()
        for name, value in flatten(table, f"{prefix}.{key}".lstrip(".")).items()
    }


def iter_values(value: Any) -> Iterator[Any]:
    """A value and every value nested in it: sections, dict values, list items and leaves."""
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
    """(package, kind) of every plug-in that a section names, in its settings or by `plugins()`."""
    for value in iter_values(section):
        if isinstance(value, Section):
            task = getattr(value, "task", None)
            if isinstance(task, str):
                yield "tasks", task
                yield from (("kinds", field.kind) for field in plugins.find("tasks", task).FIELDS)
            yield from getattr(value, "plugins", tuple)()
            module = type(value).__module__
            kind = getattr(value, "kind", None)
            if isinstance(kind, str) and module.startswith("textpipe.") and module.endswith("." + kind):
                yield module.removeprefix("textpipe.").rpartition(".")[0], kind
            elif isinstance(kind, str) and "." in kind:
                yield "", kind


def path_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of the files below a folder; raises DataError if it is missing."""
    if path.is_dir():
        digests = {
            item.relative_to(path).as_posix(): cached_digest(item) for item in sorted(path.rglob("*")) if item.is_file()
        }
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    if not path.exists():
        near = sorted(sibling.name for sibling in path.parent.glob("*")) if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file{suggest(path.name, near) if near else ''}")
    return cached_digest(path)


def cached_digest(path: Path) -> str:
    """SHA-256 of a file, computed once per (path, size, modification time) in a process."""
    status = path.stat()
    return _digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    return file_digest(Path(path))


@functools.cache
def library_versions() -> dict[str, str]:
    """{library: installed version} of the libraries that results depend on."""
    installed = {}
    for name in VERSIONED_LIBRARIES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "absent"
    return installed


def reachable_modules(modules: set[str]) -> set[str]:
    """The modules and all modules of textpipe and the working directory that they import, directly or indirectly."""
    visited: set[str] = set()
    queue = ["textpipe", *modules]  # any import imports the package first
    while queue:
        name = queue.pop()
        if name == "textpipe":  # imports its names lazily; its own code only chooses kernels
            name = "textpipe.runtime.onednn"
        if name in visited or source_path(name) is None:
            continue
        visited.add(name)
        queue += imports_of(name)
    return visited


@functools.cache
def source_path(module: str) -> Path | None:
    """The source file of a module, without importing it; None outside textpipe and the working directory."""
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
    """The syntax tree of a module's source, without docstrings."""
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
    """A prefix of the SHA-256 of a module's syntax tree: comments, docstrings and layout do not count."""
    return analyze(module)[0]


def imports_of(module: str) -> tuple[str, ...]:
    """The modules that a module imports anywhere in its source, including inside functions."""
    return tuple(analyze(module)[1])


# {SHA-256 of (Python version, module, source bytes): [digest of the syntax tree, imported modules]}. Parsing eighty
# modules takes half a second, more than a whole cached run.
ANALYSES: dict[str, list[Any]] = {}


@functools.cache
def analyze(module: str) -> list[Any]:
    """[digest, imports] of a module, parsed only when its source is new."""
    path = source_path(module)
    assert path is not None
    raw = path.read_bytes()
    cache_key = hashlib.sha256(f"{sys.version_info[:2]} {module} ".encode() + raw).hexdigest()
    if cache_key not in ANALYSES:
        tree = parse_code(raw.decode("utf-8"))
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
        ANALYSES[cache_key] = [digest, list(imported_names(tree, package))]
    return ANALYSES[cache_key]


def imported_names(tree: ast.Module, package: str) -> dict[str, None]:
    """The names that a syntax tree imports, as keys in order; relative imports start from `package`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return dict.fromkeys(names)


@contextlib.contextmanager
def cached_analyses(path: Path) -> Iterator[None]:
    """Load the analyses of modules from a file, and save new ones to it afterwards; the file may be deleted."""
    with contextlib.suppress(OSError, ValueError):
        ANALYSES.update(checksummed_json.loads(path.read_bytes())[0])
    before = len(ANALYSES)
    try:
        yield
    finally:
        if len(ANALYSES) > before and path.parent.is_dir():
            with contextlib.suppress(OSError):
                write_atomically(path, checksummed_json.dumps(ANALYSES))


__all__ = ["cached_analyses", "changes", "compute", "key", "library_versions"]
