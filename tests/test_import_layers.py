"""Import layers: modules import from their own layer or lower ones, without cycles."""

import subprocess
import sys

import pytest

from textpipe.cache import fingerprint
from textpipe.config import plugins

# Lowest first; modules of one entry may import each other.
LAYERS = (
    {"errors", "runtime", "version"},
    {"config"},
    {"cache", "engines"},
    {"data", "kinds", "savedmodel"},
    {"text"},
    {"features"},
    {"layers"},
    {"nets"},
    {"decoding", "encoders", "pruners", "searches"},
    {"models", "tasks", "metrics", "quality"},
    {"objectives", "training"},
    {"answers", "servable"},
    {"stages"},
    {"export_formats"},
    {"pipeline"},
    {"tuning"},
    {"augmentation", "explanation", "gradcheck", "inference", "laboratory", "report", "serve"},
    {"api", "estimator"},
    {"commands"},
    {"cli", "__main__"},
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def modules():
    for path in sorted(plugins.PACKAGE_FOLDER.rglob("*.py")):
        parts = path.relative_to(plugins.PACKAGE_FOLDER).with_suffix("").parts
        if parts != ("__init__",):
            yield ".".join(("textpipe", *parts)).removesuffix(".__init__")


def edges():
    for module in modules():
        for target in fingerprint.imports_of(module):
            if target.startswith("textpipe.") and fingerprint.source_path(target):
                yield module, target


def test_every_module_has_a_layer():
    assert {name.split(".")[1] for name in modules()} <= set(LEVEL)


def test_no_module_imports_from_a_higher_layer():
    violations = [f"{a} imports {b}" for a, b in edges() if LEVEL[b.split(".")[1]] > LEVEL[a.split(".")[1]]]
    assert not violations


def test_imports_have_no_cycle():
    graph: dict[str, set[str]] = {}
    for module, target in edges():
        if fingerprint.source_path(target).name != "__init__.py":
            graph.setdefault(module, set()).add(target)
    visited: set[str] = set()

    def walk(module, path):
        assert module not in path, " -> ".join((*path, module))
        if module not in visited:
            for target in graph.get(module, ()):
                walk(target, (*path, module))
            visited.add(module)

    for module in graph:
        walk(module, ())


HEAVY = (
    "tensorflow",
    "keras",
    "tensorflow_text",
    "pandas",
    "pyarrow",
    "numpy",
    "sklearn",
    "scipy",
    "matplotlib",
    "sacrebleu",
    "optuna",
)


@pytest.mark.parametrize(
    "package",
    [
        "answers",
        "stages",
        "models",
        "objectives",
        "encoders",
        "decoding",
        "tasks",
        "text.steps",
        "text.codecs",
        "features",
        "kinds",
        "searches",
        "pruners",
        "engines",
        "commands",
    ],
)
def test_checking_a_config_imports_no_heavy_library(package):
    script = (
        f"import sys, textpipe, textpipe.cli, textpipe.pipeline.runner; from textpipe.config import plugins\n"
        f"assert plugins.names({package!r})\n"
        f"for name in plugins.names({package!r}): plugins.find({package!r}, name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_layers_and_models_use_no_tensorflow():
    offenders = [
        module
        for module in modules()
        if module.split(".")[1] in ("layers", "nets", "encoders", "models")
        and any(name.split(".")[0] in ("tensorflow", "tensorflow_text") for name in fingerprint.imports_of(module))
    ]
    assert not offenders
