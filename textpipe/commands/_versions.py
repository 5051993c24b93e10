"""Pins a model version, so that all answers of one run come from it, also when the run is resumed later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.commands.predict import load
from textpipe.errors import ModelError, NetworkError

CURE = "continue with one of them by --model-version N, or delete OUT.part to start over"


@dataclass(frozen=True)
class PinnedModel:
    """One version of a model. base: the path or URL without the version; version: None for an unversioned model.

    Pickled without the loaded model, which is loaded again where it is unpickled.
    """

    base: str
    version: str | None
    token: str | None
    loaded: Any  # a savedmodel.loader.Model or a client.Client

    def __reduce__(self) -> tuple[Any, ...]:
        return pin, (self.base, self.token, self.version, None)

    @property
    def fields(self) -> tuple[str, ...]:
        return self.loaded.fields

    def predict(self, rows: Sequence[Any], **settings: Any) -> list[dict[str, Any]]:
        """The model's predict; if a server has unloaded the version, the error lists the available ones."""
        try:
            return self.loaded.predict(rows, **settings)
        except NetworkError:
            raise
        except ModelError:
            if is_url(self.base) and self.version not in (available := available_versions(self.base, self.token)):
                raise missing_version(self.base, self.version, available) from None
            raise


def pin(model: str, token: str | None, version: str | None, earlier_request: Mapping[str, Any] | None) -> PinnedModel:
    """The version to use: the one given, else that of the model's path or URL, else the one of an interrupted run, else
    the latest.

    earlier_request: of the interrupted run (bulk.read_request). Raises ModelError, listing the available versions, if the
    version no longer exists.
    """
    base, path_version = split_version(model)
    earlier = earlier_request.get("version") if earlier_request and earlier_request.get("model") == base else None
    chosen = version or path_version or earlier
    if chosen is None:
        loaded = load(model, token)
        if is_url(model):
            loaded = loaded.pin_version()
        latest = loaded.version if is_url(model) or is_version(loaded.path) else None
        return PinnedModel(base, latest, token, loaded)
    available = available_versions(base, token)
    if chosen not in available:
        raise missing_version(base, chosen, available)
    location = f"{base}/versions/{chosen}" if is_url(base) else str(Path(base) / chosen)
    return PinnedModel(base, chosen, token, load(location, token))


def split_version(model: str) -> tuple[str, str | None]:
    """The model and its version: "saved_models/x/3" -> ("saved_models/x", "3"). A label is not a version."""
    if is_url(model):
        from textpipe.inference.client import model_url

        base = model_url(model)
        kind, _, name = model.rstrip("/").removeprefix(base).removeprefix("/").partition("/")
        return base, name if kind == "versions" else None
    path = Path(model)
    deleted_version = path.name.isdecimal() and not path.exists() and path.parent.is_dir()
    return (str(path.parent), path.name) if is_version(path) or deleted_version else (str(path), None)


def is_url(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def is_version(path: Path) -> bool:
    """Whether a path is a published version, NAME/3."""
    return path.name.isdecimal() and (path / "saved_model.pb").is_file()


def available_versions(base: str, token: str | None) -> list[str]:
    """The versions of a model that exist or are served."""
    if is_url(base):
        from textpipe.inference.client import served_versions

        return served_versions(base, token=token)
    from textpipe.savedmodel import publish

    return [
        str(number) for number in sorted(publish.version_numbers(Path(base))) if is_version(Path(base) / str(number))
    ]


def missing_version(base: str, version: str | None, available: Sequence[str]) -> ModelError:
    cure = f"available: {', '.join(available)}; {CURE}" if available else "no other version is available"
    return ModelError(f"{base}: version {version} no longer exists; {cure}")
