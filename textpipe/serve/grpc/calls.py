"""What every gRPC call has: its record in metrics and log, and the code of its error."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from textpipe.serve.access import AccessLog, request_id
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.service import Service
from textpipe.serve.rest.paths import Target

log = logging.getLogger(__name__)

MAX_DETAILS = 2000  # characters of a message: clients limit the size of metadata


@dataclass(frozen=True)
class Calls:
    """log: None for no access log."""

    service: Service
    metrics: Metrics
    log: AccessLog | None

    async def run(
        self,
        context: Any,
        method: str,
        read_target: Callable[[], Target],
        work: Callable[[Target, float | None], Awaitable[Any]],
    ) -> Any:
        """Runs work(target, timeout) as `answer` does, and aborts the call with the code of its error."""
        try:
            return await self.answer(context, method, read_target, work)
        except ServingError as error:
            await context.abort(getattr(grpc.StatusCode, error.code), str(error)[:MAX_DETAILS])

    async def answer(
        self,
        context: Any,
        method: str,
        read_target: Callable[[], Target],
        work: Callable[[Target, float | None], Awaitable[Any]],
    ) -> Any:
        """Runs work(target, timeout) and records it in metrics and log; raises ServingError."""
        start, code, model = time.monotonic(), "OK", ""
        try:
            target = read_target()
            model = target.name
            return await work(target, context.time_remaining())
        except ServingError as error:
            code = error.code
            if code == "RESOURCE_EXHAUSTED":
                await self.service.scheduler.delay_refusal()
            raise
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception:
            code = "INTERNAL"
            log.exception("%s of %r", method, model)
            raise ServingError("INTERNAL", "internal server error; see the server's log") from None
        finally:
            seconds = time.monotonic() - start
            self.metrics.count_request("grpc", model, method, code, seconds)
            if self.log:
                metadata = context.invocation_metadata() or ()
                header = next((value for name, value in metadata if name == "x-request-id"), "")
                caller = {"id": request_id(str(header).encode()), "door": "grpc", "client": context.peer()}
                self.log.write(**caller, model=model, verb=method, code=code, seconds=round(seconds, 6))
