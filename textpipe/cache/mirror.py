"""A copy of the store on shared storage: a result that one machine built is fetched by the others.

    TEXTPIPE_STORE=s3://bucket/textpipe textpipe run mail.toml

    s3://bucket/textpipe/train/3f9a.../manifest.json      written last: a result without it is absent

Results stay in the local store, too, from which all stages read. Two machines that build the same result at the same time both copy it:
its bytes are the same.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textpipe.cache.integrity import MANIFEST, find_damage, parse_manifest
from textpipe.cache.store import Artifact, Store, explain_disk_errors, log
from textpipe.errors import DataError, NetworkError
from textpipe.runtime import storage

VARIABLE = "TEXTPIPE_STORE"
UNCOPIED = ".uncopied"  # marks a local result that could not be copied; the next run tries again


def open_store(root: Path) -> Store:
    """The store below `root`, with the mirror that the environment variable TEXTPIPE_STORE names.

    Raises DataError where that is no URL of a protocol that can be used, and no absolute path.
    """
    url = os.environ.get(VARIABLE, "").strip()
    if not url:
        return Store(root)
    if not storage.is_url(url) and not os.path.isabs(url):
        raise DataError(
            f"{VARIABLE}: expected a URL, s3://bucket/textpipe for example, or an absolute path, found {url!r}"
        )
    try:
        return MirroredStore(root, url)
    except NetworkError:
        raise
    except DataError as error:
        raise DataError(f"{VARIABLE}: {error}") from None


class MirroredStore(Store):
    """A local store and its copy on shared storage. url: of a folder there."""

    def __init__(self, root: Path, url: str):
        super().__init__(root)
        self.url = url.rstrip("/")
        self.system, self.base = storage.connect(self.url)

    def find(self, stage: str, key: str, *, contents: bool = False) -> Artifact | None:
        """The local result, or that of the mirror, which is fetched and compared with its checksums."""
        path = self.path(stage, key)
        local = super().find(stage, key, contents=contents)
        if local is not None:
            if marker(path).exists():
                self.copy(stage, path)
            return local
        manifest = self.manifest(stage, path.name)
        if manifest is None:
            return None
        with explain_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.fetch(stage, path, manifest)
        return super().find(stage, key, contents=True)

    def look(self, stage: str, key: str, *, contents: bool = False) -> Artifact | None:
        """The local result, or the mirror's manifest of it."""
        path = self.path(stage, key)
        local = super().find(stage, key, contents=contents)
        manifest = None if local else self.manifest(stage, path.name)
        return Artifact(stage, path, manifest["digest"], manifest["ingredients"]) if manifest else local

    def fill(self, stage: str, path: Path, fingerprint: dict[str, Any], work: Callable[[Path], None]) -> Artifact:
        """Build the result and copy it; if that fails, it is kept here and copied by the next run that uses it."""
        artifact = super().fill(stage, path, fingerprint, work)
        self.copy(stage, path)
        return artifact

    def manifest(self, stage: str, name: str) -> dict[str, Any] | None:
        """The manifest of the mirror's result, None if there is none or it is damaged."""
        url = f"{self.url}/{stage}/{name}/{MANIFEST}"
        try:
            with storage.explained(url):
                raw = self.system.cat_file(f"{self.base}/{stage}/{name}/{MANIFEST}")
            manifest, has_sum = parse_manifest(raw)
        except NetworkError as error:
            log.warning("%s; the run goes on without the mirror", error)
            return None
        except DataError:  # no such file
            return None
        except ValueError as error:
            log.warning("%s: %s; the result is built again", url, error)
            return None
        return manifest if has_sum else None

    def fetch(self, stage: str, path: Path, manifest: dict[str, Any]) -> None:
        """Copy a result of the mirror into the local store, with the times of its manifest, if its bytes are those of the manifest."""
        url, part = f"{self.url}/{stage}/{path.name}", path.with_name(f"{path.name}.{os.getpid()}.fetch")
        shutil.rmtree(part, ignore_errors=True)
        try:
            with storage.explained(url):
                names = dict.fromkeys([*manifest["files"], MANIFEST])
                storage.download(self.system, f"{self.base}/{stage}/{path.name}", names, part)
            for name, expected in manifest["files"].items():
                if "mtime_ns" in expected:
                    os.utime(part / name, ns=(time.time_ns(), expected["mtime_ns"]))
            problem = find_damage(part, manifest["files"], contents=True)
            if problem:
                log.warning("%s: %s; the result is built again", url, problem)
                return
            if not path.exists():
                os.replace(part, path)
            log.info("%s: fetched to %s", url, path)
        except DataError as error:
            log.warning("%s; the result is built again", error)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def copy(self, stage: str, path: Path) -> None:
        """Copy a local result to the mirror, the manifest last. Storage that fails is a warning."""
        url, target = f"{self.url}/{stage}/{path.name}", f"{self.base}/{stage}/{path.name}"
        try:
            with storage.explained(url):
                for file in sorted(
                    path.rglob("*"), key=lambda file: (file.name == MANIFEST and file.parent == path, file)
                ):
                    if file.is_file():
                        file_url = f"{target}/{file.relative_to(path).as_posix()}"
                        self.system.makedirs(file_url.rpartition("/")[0], exist_ok=True)
                        self.system.put_file(str(file), file_url)
            marker(path).unlink(missing_ok=True)
        except (DataError, OSError) as error:
            marker(path).touch()
            log.warning("%s; %s is kept, and the next run that uses it copies it", error, path)


def marker(path: Path) -> Path:
    """The file that says that a local result is not on the mirror."""
    return path.with_name(path.name + UNCOPIED)
