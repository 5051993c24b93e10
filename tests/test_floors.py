"""The house has floors: imports go down or level, never up, and never in a circle."""

import subprocess
import sys

import pytest

from textpipe import lineage, rooms

# Lowest first; modules of one entry may import each other.
FLOORS = (
    {"cores", "environment", "errors", "garbage", "inference", "kernels", "quiet", "sealed", "version"},
    {
        "arrow",
        "bundled",
        "catalog",
        "chosen_fields",
        "columns",
        "download",
        "config",
        "documented",
        "export_format",
        "fields",
        "integrity",
        "kinds",
        "lineage",
        "rooms",
        "signatures",
        "store",
        "tables",
    },
    {"text"},
    {"features"},
    {"layers"},
    {"decoding", "encoders"},
    {"models", "tasks", "scores"},
    {"objectives", "training"},
    {
        "answers",
        "batching",
        "ensembles",
        "servable",
        "savedmodel",
        "publish",
        "manifest",
        "model_rows",
        "saving",
        "tracing",
        "warmup",
        "ops",
        "side_effects",
    },
    {"stages"},
    {"exports"},
    {"pipeline"},
    {
        "bulk",
        "client",
        "columns_option",
        "doctor",
        "frames",
        "headers",
        "loaded",
        "outcome",
        "records",
        "report",
        "scaffold",
        "scoring",
        "serve",
        "settings",
        "templates",
    },
    {"api"},
    {"verbs"},
    {"cli", "__main__"},
)
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}


def modules():
    for path in sorted(rooms.HOME.rglob("*.py")):
        parts = path.relative_to(rooms.HOME).with_suffix("").parts
        if parts != ("__init__",):
            yield ".".join(("textpipe", *parts)).removesuffix(".__init__")


def edges():
    for module in modules():
        for target in lineage.imports_of(module):
            if target.startswith("textpipe.") and lineage.source_of(target):
                yield module, target


def test_every_module_stands_on_a_floor():
    assert {name.split(".")[1] for name in modules()} <= set(LEVEL)


def test_imports_never_climb():
    climbs = [f"{a} imports {b}" for a, b in edges() if LEVEL[b.split(".")[1]] > LEVEL[a.split(".")[1]]]
    assert not climbs


def test_imports_have_no_circle():
    graph: dict[str, set[str]] = {}
    for module, target in edges():
        if lineage.source_of(target).name != "__init__.py":
            graph.setdefault(module, set()).add(target)
    done: set[str] = set()

    def walk(module, trail):
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in graph.get(module, ()):
                walk(target, (*trail, module))
            done.add(module)

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
)


@pytest.mark.parametrize(
    "room",
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
        "verbs",
    ],
)
def test_checking_a_config_loads_nothing_heavy(room):
    script = (
        f"import sys, textpipe, textpipe.cli, textpipe.pipeline; from textpipe import rooms\n"
        f"assert rooms.names({room!r})\n"
        f"for name in rooms.names({room!r}): rooms.find({room!r}, name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_layers_and_models_use_no_tensorflow():
    offenders = [
        module
        for module in modules()
        if module.split(".")[1] in ("layers", "encoders", "models")
        and any(name.split(".")[0] in ("tensorflow", "tensorflow_text") for name in lineage.imports_of(module))
    ]
    assert not offenders
