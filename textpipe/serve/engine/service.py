"""The interface behind REST and gRPC: target, signature and tensors in, tensors out."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from textpipe.savedmodel import description
from textpipe.serve.engine import search_limits
from textpipe.serve.engine.batch_queue import BatchScheduler
from textpipe.serve.engine.batch_request import Outputs, Request
from textpipe.serve.engine.drift import DriftMonitor
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Hold, Signature, Version
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.rest.paths import Target

Tensors = dict[str, np.ndarray]


class Cancellation(NamedTuple):
    """When a client stops waiting. timeout: in seconds, None for the server's deadline; disconnected: whether it has gone,
    None when the endpoint cancels the call itself."""

    timeout: float | None = None
    disconnected: Callable[[], bool] | None = None


NO_CANCELLATION = Cancellation()


class Call(NamedTuple):
    """A queued request. hold: of its version, which the caller releases; tensors: as sent."""

    hold: Hold
    signature: Signature
    tensors: Tensors
    request: Request


@dataclass
class Service:
    """deadline_seconds: the longest a request may take; max_rows, max_text_bytes, max_tensor_bytes: see RequestLimits."""

    repository: Repository
    scheduler: BatchScheduler
    deadline_seconds: float = 60.0
    max_rows: int = 1024
    max_text_bytes: int = 1 << 20
    max_tensor_bytes: int = 64 << 20
    drift_monitor: DriftMonitor | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set when further requests are refused

    def begin(
        self,
        target: Target,
        read: Callable[[Version], tuple[Signature, Tensors]],
        *,
        deadline: float,
        on_end: Callable[[Request], None],
        disconnected: Callable[[], bool] | None = None,
    ) -> Call:
        """Holds the target's version, reads the request for it, and queues it; call `admit` first.

        read(version): the signature and its input tensors; its exceptions propagate. Other arguments: see BatchScheduler.enqueue.
        """
        hold = self.repository.hold(target.name, target.version, target.label)
        try:
            version = hold.version
            signature, tensors = read(version)
            self.request_limits.check_tensors(tensors)
            if signature.bounds:
                search_limits.check_options(signature.bounds, tensors)
                search_limits.check_width(signature.bounds, signature.defaults, tensors, self.max_rows)
            search_limits.check_candidates(signature.candidate_inputs, tensors)
            inputs = signature.complete(tensors)
            request = self.scheduler.enqueue(
                version, signature, inputs, deadline=deadline, disconnected=disconnected, on_end=on_end
            )
        except BaseException:
            hold.version.release()
            raise
        self.scheduler.dispatch_soon()
        return Call(hold, signature, tensors, request)

    def end(self, call: Call) -> Outputs:
        """The outputs of a call that has its result, sampled for the drift monitor; raises what the call raised."""
        outputs = call.request.result()
        if self.drift_monitor:
            self.drift_monitor.record(call.hold.version, call.signature, call.tensors, outputs)
        return outputs

    async def answer(
        self,
        target: Target,
        read: Callable[[Version], tuple[Signature, Tensors]],
        cancellation: Cancellation = NO_CANCELLATION,
    ) -> tuple[Version, Signature, Outputs]:
        """Version, signature and outputs; arguments as of `begin`."""
        self.admit()
        ended = asyncio.get_running_loop().create_future()

        def on_end(request: Request) -> None:
            if not ended.done():
                ended.set_result(None)

        deadline, disconnected = self.deadline(cancellation), cancellation.disconnected
        call = self.begin(target, read, deadline=deadline, disconnected=disconnected, on_end=on_end)
        with call.hold as version:
            try:
                await ended
            finally:
                self.scheduler.withdraw(call.request)
            return version, call.signature, self.end(call)

    def admit(self) -> None:
        """Raises ServingError when the server is stopping or its queue is full; call it first, so that a refusal costs
        little."""
        if self.stopping.is_set():
            raise shutting_down()
        self.scheduler.admit(1)

    def deadline(self, cancellation: Cancellation) -> float:
        """By time.monotonic()."""
        return time.monotonic() + min(cancellation.timeout or self.deadline_seconds, self.deadline_seconds)

    def unready_reason(self) -> str:
        """Why requests should go to another server, '' when this one is ready."""
        if self.stopping.is_set():
            return "stopping"
        if not self.repository.ready():
            return "not every model has a version that serves"
        if self.scheduler.stalled(self.deadline_seconds):
            return f"no worker has come free for {self.deadline_seconds:g} seconds"
        return ""

    async def stream(
        self, target: Target, read: Callable[[Version], Tensors], cancellation: Cancellation = NO_CANCELLATION
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The answer so far after each token: {"text", "tokens", "done"}; greedy whatever the model's decoder.

        read(version): the one source text, as a tensor [1] by name.
        """
        self.admit()
        deadline = self.deadline(cancellation)
        with self.repository.hold(target.name, target.version, target.label) as version:
            if version.stream is None:
                raise invalid_argument(f"{target.name}: this model does not stream its answers; use :predict")
            begin, advance = version.stream
            tensors = read(version)
            self.request_limits.check_tensors(tensors)
            state = await self.scheduler.submit(version, begin, tensors, deadline=deadline)
            count, done = 0, False
            while not done:
                inputs = {name: state[name] for name in advance.inputs}
                state = await self.scheduler.submit(version, advance, inputs, deadline=deadline)
                count, done = count + 1, bool(state["done"][0])
                text = state["text"][0].decode("utf-8", "replace")
                # The text may end in an incomplete UTF-8 character.
                yield {"text": text if done else text.rstrip("\ufffd"), "tokens": count, "done": done}

    @cached_property
    def request_limits(self) -> RequestLimits:
        return RequestLimits(self.max_rows, self.max_text_bytes, self.max_tensor_bytes)

    def describe_models(self) -> dict[str, Any]:
        """{"models": [{"name", "version", "task", "inputs", "labels", "signatures", "view", "options", "bounds"}]}"""
        models = []
        for name in self.repository.names():
            try:
                with self.repository.hold(name) as version:
                    about = version.about
                    options = options_schema(version)
                    models.append(
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
                models.append({"name": name, "version": None})
        return {"models": models}

    def status(self, target: Target) -> dict[str, Any]:
        """The states of a model's versions. A label selects its version; an unknown label is ignored."""
        version = target.version
        if target.label is not None:
            version = self.repository.labels.get(target.name, {}).get(target.label)
        return {"model_version_status": self.repository.status(target.name, version)}

    def metadata(self, target: Target) -> dict[str, Any]:
        """The signatures of a version as JSON of protocol buffers, as TensorFlow Serving returns them."""
        from google.protobuf import json_format

        with self.repository.hold(target.name, target.version, target.label) as version:
            definitions = {
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
        metadata: dict[str, Any] = {"signature_def": {"signature_def": definitions}}
        if any("maximum" in option for option in options.values()):
            metadata["options"] = options
        if about:
            metadata["textpipe"] = about
        return {"model_spec": spec, "metadata": metadata}

    def describe_options(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The search options of each model: {model: (signature, {option: its JSON Schema})}"""
        models = {}
        for name in self.repository.names():
            try:
                with self.repository.hold(name) as version:
                    if version.options_signature and (options := options_schema(version)):
                        models[name] = version.options_signature.name, options
            except ServingError:  # none of its versions serves
                continue
        return models


def shutting_down() -> ServingError:
    return ServingError("UNAVAILABLE", "the server is shutting down", retry_after=1)


def options_schema(version: Version) -> dict[str, dict[str, Any]]:
    """{option: its JSON Schema} of a version."""
    options = version.options_signature
    return search_limits.json_schema(options.bounds, options.option_defaults) if options else {}
