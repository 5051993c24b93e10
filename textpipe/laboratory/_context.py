"""What an experiment is given: data, and single runs that are kept on disk."""

import ast
import hashlib
import inspect
import json
import logging
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textpipe.laboratory import _data

log = logging.getLogger(__name__)


class Context:
    """results: the folder of kept runs, results/NAME/KEY.json. artifacts: the store of prepared rows.

    on_run(name, settings, seconds) is called after each run that was not kept.
    """

    def __init__(self, name: str, *, results: Path, artifacts: Path, on_run: Callable[..., None] | None = None):
        self.name, self.folder, self.artifacts = name, results / name, artifacts
        self.on_run = on_run or (lambda *_: None)
        self.seconds: dict[Path, float] = {}  # processor time of all runs, kept or not
        self.prepared: dict[str, _data.Data] = {}

    @property
    def processor_seconds(self) -> float:
        """Of all runs, each counted once."""
        return sum(self.seconds.values())

    def data(self, dataset: str, *, features: Mapping[str, Any], codec: Mapping[str, Any] | str = "none") -> _data.Data:
        """The rows of a dataset; see _data.prepare."""
        key = json.dumps([dataset, features, codec], sort_keys=True)
        if key not in self.prepared:
            with quiet():
                self.prepared[key] = _data.prepare(dataset, self.artifacts, features=features, codec=codec)
        return self.prepared[key]

    def stages(self, name: str, tables: Mapping[str, Any], *, until: str) -> dict[str, Path]:
        """The folders of a pipeline's stages; see _data.run_stages."""
        with quiet():
            return _data.run_stages(f"laboratory: {name}", tables, self.artifacts, until=until)

    def once(self, function: Callable[..., Mapping[str, Any]], **settings: Any) -> dict[str, Any]:
        """settings | function(self, **settings), which must be JSON; computed once and kept.

        The key is made of the settings and of the code in the function's module that it uses (run_key). Other modules of textpipe do not
        count; delete the folder to run everything again.
        """
        path = self.folder / f"{run_key(function, settings)}.json"
        result = read(path)
        if result is None:
            began, used = time.monotonic(), time.process_time()
            with quiet():
                result = {**settings, **function(self, **settings)}
            result["processor_seconds"] = round(time.process_time() - used, 2)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(result), encoding="utf-8")
            temporary.replace(path)
            self.on_run(self.name, settings, time.monotonic() - began)
        self.seconds[path] = result["processor_seconds"]
        return {name: value for name, value in result.items() if name != "processor_seconds"}


def read(path: Path) -> dict[str, Any] | None:
    """A kept run; None if there is none or it is damaged."""
    try:
        run = dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return run if "processor_seconds" in run else None


def run_key(function: Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """Of the function's code, of the functions and constants of its module that it uses, and of the settings."""
    parts = dict(sorted(definitions(function).items()))
    return hashlib.sha256(json.dumps([parts, settings], sort_keys=True).encode()).hexdigest()[:20]


def definitions(function: Callable[..., Any], collected: dict[str, str] | None = None) -> dict[str, str]:
    """{name: syntax tree or value} of a function and of what it uses from its own module, without docstrings."""
    collected = {} if collected is None else collected
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    collected[function.__name__] = ast.dump(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in sorted(names & function.__globals__.keys() - collected.keys()):
        value = function.__globals__[name]
        if inspect.isfunction(value) and value.__module__ == function.__module__:
            definitions(value, collected)
        elif isinstance(value, (int, float, str, tuple)):
            collected[name] = repr(value)
        elif isinstance(value, dict):
            used = [one for one in value.values() if inspect.isfunction(one)]
            collected[name] = repr([(key, one.__name__ if one in used else one) for key, one in value.items()])
            for one in used:
                definitions(one, collected)
    return collected


@contextmanager
def quiet() -> Iterator[None]:
    """While open, the stages and the training loop log warnings only."""
    logger = logging.getLogger("textpipe")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
