"""What both doors ask: a target, a signature and tensors in, tensors out."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from textpipe.savedmodel import description
from textpipe.serve.engine import search_limits
from textpipe.serve.engine.batch_queue import BatchScheduler
from textpipe.serve.engine.drift import DriftMonitor
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.rest.paths import Target

Tensors = dict[str, np.ndarray]
# How long a caller waits, None for as long as the server lets it; whether it has left, None where the door breaks off.
Cancellation = tuple[float | None, Callable[[], bool] | None]
NO_CANCELLATION: Cancellation = (None, None)


@dataclass
class Service:
    """deadline_seconds: what a request may take at most; most_rows, most_text, most_bytes: of a request, of one text in
    bytes, and of all its tensors in memory."""

    repository: Repository
    queue: BatchScheduler
    deadline_seconds: float = 60.0
    most_rows: int = 1024
    most_text: int = 1 << 20
    most_bytes: int = 64 << 20
    watch: DriftMonitor | None = None
    draining: bool = False

    async def answer(
        self,
        target: Target,
        read: Callable[[Version], tuple[Signature, Tensors]],
        patience: Cancellation = NO_CANCELLATION,
    ) -> tuple[Version, Signature, Tensors]:
        """Holds the version a target means, reads the request by it, and gives what it says.

        read(version): the signature and its tensors; what it raises is raised.
        """
        self.admit()
        deadline = self.deadline(patience)
        with self.repository.hold(target.name, target.version, target.label) as version:
            signature, tensors = read(version)
            self.bound(tensors)
            search_limits.check_options(signature.bounds, tensors)
            search_limits.check_width(signature.bounds, signature.defaults, tensors, self.most_rows)
            found = await self.queue.ask(
                version, signature, signature.complete(tensors), deadline=deadline, gone=patience[1]
            )
            if self.watch:
                self.watch.note(version, signature, tensors, found)
        return version, signature, found

    def admit(self) -> None:
        """Raises Fault when the server stops or its queue is full; to be asked first, for a refusal should cost little."""
        if self.draining:
            raise ServingError("UNAVAILABLE", "the server is shutting down", retry_after=1)
        self.queue.admit(1)

    def deadline(self, patience: Cancellation) -> float:
        """By time.monotonic()."""
        return time.monotonic() + min(patience[0] or self.deadline_seconds, self.deadline_seconds)

    def unready(self) -> str:
        """Why requests should go elsewhere, '' when they need not."""
        if self.draining:
            return "stopping"
        if not self.repository.ready():
            return "not every model has a version that serves"
        if self.queue.stuck(self.deadline_seconds):
            return f"no worker has come free for {self.deadline_seconds:g} seconds"
        return ""

    async def stream(
        self, target: Target, read: Callable[[Version], Tensors], patience: Cancellation = NO_CANCELLATION
    ) -> AsyncGenerator[dict[str, Any], None]:
        """An answer while it grows: {"text", "tokens", "done"} after each token, greedily whatever the model's decoder.

        read(version): the one source text, as a tensor [1] by name.
        """
        self.admit()
        deadline = self.deadline(patience)
        with self.repository.hold(target.name, target.version, target.label) as version:
            if version.stream is None:
                raise invalid_argument(f"{target.name}: this model gives its answers whole; ask it with :predict")
            begin, advance = version.stream
            tensors = read(version)
            self.bound(tensors)
            state = await self.queue.ask(version, begin, tensors, deadline=deadline)
            count, done = 0, False
            while not done:
                state = await self.queue.ask(
                    version, advance, {name: state[name] for name in advance.inputs}, deadline=deadline
                )
                count, done = count + 1, bool(state["done"][0])
                text = state["text"][0].decode("utf-8", "replace")
                # The first bytes of a character are no character yet.
                yield {"text": text if done else text.rstrip("\ufffd"), "tokens": count, "done": done}

    @cached_property
    def request_limits(self) -> RequestLimits:
        return RequestLimits(self.most_rows, self.most_text, self.most_bytes)

    def bound(self, tensors: Tensors) -> None:
        """Raises Fault for more than the server takes at once."""
        self.request_limits.tensors(tensors)

    def described(self) -> dict[str, Any]:
        """{"models": [{"name", "version", "task", "inputs", "labels", "signatures", "view", "options", "bounds"}]}"""
        found = []
        for name in self.repository.names():
            try:
                with self.repository.hold(name) as version:
                    about = version.about
                    options = options_schema(version)
                    found.append(
                        {
                            "name": name,
                            "version": version.number,
                            "task": about.get("task"),
                            "inputs": about.get("inputs"),
                            "fields": about.get("fields"),
                            "labels": about.get("labels"),
                            "signatures": sorted(version.signatures),
                            "view": description.view(about, tuple(version.signatures)),
                            "options": {key: value["default"] for key, value in options.items()},
                            "bounds": {
                                key: [value.get("minimum"), value.get("maximum")]
                                for key, value in options.items()
                                if "minimum" in value or "maximum" in value
                            },
                        }
                    )
            except ServingError:
                found.append({"name": name, "version": None})
        return {"models": found}

    def status(self, target: Target) -> dict[str, Any]:
        """The states of a model's versions. A label means its version here; one that nothing has is not looked at."""
        version = target.version
        if target.label is not None:
            version = self.repository.labels.get(target.name, {}).get(target.label)
        return {"model_version_status": self.repository.status(target.name, version)}

    def metadata(self, target: Target) -> dict[str, Any]:
        """The signatures of a version as TensorFlow Serving tells them: protocol buffers' JSON."""
        from google.protobuf import json_format

        with self.repository.hold(target.name, target.version, target.label) as version:
            told = {
                name: json_format.MessageToDict(
                    definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                )
                for name, definition in sorted(version.definitions.items())
            }
            spec = {"name": target.name, "signature_name": "", "version": str(version.number)}
            options = options_schema(version)
            about = {
                name: version.about[name]
                for name in ("format", "fields", "signatures", "answer")
                if name in version.about
            }
        metadata: dict[str, Any] = {"signature_def": {"signature_def": told}}
        if any("maximum" in option for option in options.values()):
            metadata["options"] = options
        if about:
            metadata["textpipe"] = about
        return {"model_spec": spec, "metadata": metadata}

    def options(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """What callers may set of each model's search: {model: (signature, {option: its JSON Schema})}"""
        found = {}
        for name in self.repository.names():
            try:
                with self.repository.hold(name) as version:
                    if version.taking_options and (options := options_schema(version)):
                        found[name] = version.taking_options.name, options
            except ServingError:  # none of its versions serves
                continue
        return found


def options_schema(version: Version) -> dict[str, dict[str, Any]]:
    """The options of a version: {name: its JSON Schema}; {} for none."""
    options = version.taking_options
    return search_limits.json_schema(options.bounds, options.settings) if options else {}
