"""The model that a user names: an exported one, a server's URL, a pipeline that has been run, or its export artifact."""

from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError, ModelError
from textpipe.explanation.subject import Subject


def locate(
    model: Any, *, overrides: tuple[str, ...] = (), artifacts: Path = Path("data/artifacts"), token: str | None = None
) -> Subject:
    """The subject of a location: saved_models/NAME, NAME/VERSION, a URL, a pipeline file or the name of a bundled one.

    overrides: of a pipeline. A pipeline's model is that of the cached run with these settings. Raises ConfigError if the pipeline has not
    been run, ModelError if there is no such model.
    """
    from textpipe.savedmodel.loader import Model

    location = str(model)
    if location.startswith(("http://", "https://")):
        from textpipe.inference.client import Client

        subject = Subject.of(Client(location, token=token))
    else:
        if token is not None and not overrides:
            raise ModelError(f"{location}: a token is only for a server's URL; leave it out")
        folder = exported_by(location, overrides, artifacts)
        return Subject.of(Model.load(folder or artifact_model(Path(location))))
    if overrides:
        raise ConfigError(f"-s {overrides[0]}: {location} is a served model; only a pipeline takes overrides")
    return subject


def artifact_model(path: Path) -> Path:
    """The model of an export artifact's folder, or the path itself."""
    return path / "model" if (path / "model" / "saved_model.pb").is_file() else path


def exported_by(location: str, overrides: tuple[str, ...], artifacts: Path) -> Path | None:
    """The model that a pipeline's cached run exported; None if the location is no pipeline."""
    from textpipe.pipeline import runner
    from textpipe.report.systems import pipeline_file

    file = pipeline_file(location)
    if file is None:
        if overrides:
            raise ConfigError(f"-s {overrides[0]}: {location} is not a pipeline, so it has no settings")
        return None
    steps = runner.plan(runner.Pipeline.load(file, overrides), artifacts=artifacts)
    last = steps[-1]
    if last.stage != "export" or last.state != "cached" or last.path is None:
        settings = "".join(f" -s {text}" for text in overrides)
        raise ConfigError(
            f"{location}: has not been exported with these settings; first run: textpipe run {location}{settings}"
        )
    return last.path / "model"
