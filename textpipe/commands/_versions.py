"""Answers that belong together come from one version of a model, also where a run is taken up again later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.commands.predict import load
from textpipe.errors import ModelError, NetworkError

CURE = "--model-version N goes on with one of these; or delete OUT.part to begin again"


@dataclass(frozen=True)
class Pinned:
    """One version of a model. base: the model without its version; version: None where it has none."""

    base: str
    version: str | None
    token: str | None
    loaded: Any  # a savedmodel.Model or a client.Client

    @property
    def fields(self) -> tuple[str, ...]:
        return self.loaded.fields

    def predict(self, rows: Sequence[Any], **settings: Any) -> list[dict[str, Any]]:
        """As the model's; where a server meanwhile dropped the version, the error says which there are."""
        try:
            return self.loaded.predict(rows, **settings)
        except NetworkError:
            raise
        except ModelError:
            if is_url(self.base) and self.version not in (served := versions_of(self.base, self.token)):
                raise gone(self.base, self.version, served) from None
            raise


def pinned(model: str, token: str | None, version: str | None, before: Mapping[str, Any] | None) -> Pinned:
    """The version to ask: the one given, else that of the model's path or URL, else the one an earlier run began with,
    else the latest.

    before: what bulk.begun gave. Raises ModelError when the version is gone, with those there are.
    """
    base, own = split(model)
    begun = before.get("version") if before and before.get("model") == base else None
    chosen = version or own or begun
    if chosen is None:
        loaded = load(model, token)
        if is_url(model):
            loaded = loaded.of_one_version()
        found = loaded.version if is_url(model) or is_version(loaded.path) else None
        return Pinned(base, found, token, loaded)
    there = versions_of(base, token)
    if chosen not in there:
        raise gone(base, chosen, there)
    place = f"{base}/versions/{chosen}" if is_url(base) else str(Path(base) / chosen)
    return Pinned(base, chosen, token, load(place, token))


def split(model: str) -> tuple[str, str | None]:
    """A model without its version, and the version: "saved_models/x/3" -> ("saved_models/x", "3"). A label is no version."""
    if is_url(model):
        from textpipe.inference.client import base_of

        base = base_of(model)
        kind, _, name = model.rstrip("/").removeprefix(base).removeprefix("/").partition("/")
        return base, name if kind == "versions" else None
    path = Path(model)
    gone_version = path.name.isdecimal() and not path.exists() and path.parent.is_dir()
    return (str(path.parent), path.name) if is_version(path) or gone_version else (str(path), None)


def is_url(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def is_version(path: Path) -> bool:
    """Whether a path is that of a published version, NAME/3."""
    return path.name.isdecimal() and (path / "saved_model.pb").is_file()


def versions_of(base: str, token: str | None) -> list[str]:
    """The versions of a model that can be asked."""
    if is_url(base):
        from textpipe.inference.client import versions_served

        return versions_served(base, token=token)
    from textpipe.savedmodel import publish

    return [str(number) for number in sorted(publish.taken(Path(base))) if is_version(Path(base) / str(number))]


def gone(base: str, version: str | None, there: Sequence[str]) -> ModelError:
    found = f"there are {', '.join(there)}: {CURE}" if there else "there is no other"
    return ModelError(f"{base}: version {version} is not there any more; {found}")
