"""ModelStreamInfer, Triton's extension of the Open Inference Protocol: many inference requests in one call.

As Triton does for models with one response per request, responses come in the order of the requests. A request that fails gets a
response with `error_message` and its id, and the stream goes on. Requests of a stream wait in the same queue as all others.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.service import shutting_down
from textpipe.serve.grpc.calls import MAX_DETAILS, Calls
from textpipe.serve.oip import metadata
from textpipe.serve.oip.grpc_service import infer
from textpipe.serve.oip.messages import message
from textpipe.serve.rest.paths import Target

MAX_IN_FLIGHT = 64  # requests of a stream; further ones are read when the oldest of these is answered
FINAL = "triton_final_response"  # the parameter by which clients recognize the last response to a request


class StreamService:
    """max_streams: open at a time, because each occupies one of the server's concurrent calls."""

    def __init__(self, calls: Calls, max_streams: int):
        self.calls, self.service, self.max_streams = calls, calls.service, max_streams
        self.num_streams = 0

    async def model_stream_infer(self, bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        """A ModelStreamInferResponse for each ModelInferRequest. bodies: the requests, not yet parsed."""
        if self.num_streams >= self.max_streams:
            text = f"{self.num_streams} streams are open, which is what this server takes"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self.num_streams += 1
        stream = Stream(self, context)
        try:
            async for response in stream.responses(bodies):
                yield response
            if self.service.stopping.is_set():
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(shutting_down()))
        finally:
            self.num_streams -= 1
            stream.close()

    async def answer(self, body: bytes, context: Any) -> Any:
        """The response to one request."""
        request = message("ModelInferRequest")()

        def read_target() -> Target:
            try:
                request.ParseFromString(body)
            except DecodeError:
                raise invalid_argument("the request cannot be parsed as a ModelInferRequest") from None
            return metadata.target(request.model_name, request.model_version, "infer")

        async def work(target: Target, timeout: float | None) -> Any:
            return await infer(self.service, target, request, timeout)

        response = message("ModelStreamInferResponse")()
        try:
            response.infer_response.CopyFrom(await self.calls.answer(context, "infer", read_target, work))
        except ServingError as error:
            response.error_message = str(error)[:MAX_DETAILS]
            response.infer_response.id = request.id
        response.infer_response.parameters[FINAL].bool_param = True
        return response


class Stream:
    """An open call: its requests in flight, oldest first."""

    def __init__(self, owner: StreamService, context: Any):
        self.owner, self.context = owner, context
        self.places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self.answers: asyncio.Queue[asyncio.Task | None] = asyncio.Queue()  # None: there are no more
        self.tasks: set[asyncio.Task] = set()  # that are not done

    async def responses(self, bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        self.start(self.read(bodies))
        while (task := await self.answers.get()) is not None:
            yield await task
            self.places.release()

    async def read(self, bodies: AsyncIterator[bytes]) -> None:
        """Begins requests until the client has sent its last one or the server stops."""
        stopping = self.start(self.owner.service.stopping.wait())
        try:
            while True:
                await self.places.acquire()
                body = self.start(anext(bodies, None))
                await asyncio.wait((body, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not body.done() or (request := body.result()) is None:
                    return
                self.answers.put_nowait(self.start(self.owner.answer(request, self.context)))
        finally:
            self.answers.put_nowait(None)

    def start(self, work: Any) -> asyncio.Task:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
