"""A REST and gRPC server in a thread of this process."""

import asyncio
import contextlib
import http.client
import json
import threading
import time

from textpipe.serve.server import Options, Server


def until(condition, seconds=30):
    """Waits for another thread to make condition() true; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
    return value


def states(server, model):
    """{version: (state, error message)} of a model."""
    status, _, body = server.ask("GET", f"/v1/models/{model}")
    versions = json.loads(body).get("model_version_status", []) if status == 200 else []
    return {int(v["version"]): (v["state"], v["status"]["error_message"]) for v in versions}


class Running:
    def __init__(self, options):
        self.ready = threading.Event()
        self.server = Server(options, lambda text: self.ready.set())
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        while not self.ready.wait(0.05):
            if not self.thread.is_alive():
                raise self.error

    def run(self):
        async def serve():
            self.loop = asyncio.get_running_loop()
            await self.server.run()

        try:
            asyncio.run(serve())
        except BaseException as error:
            self.error = error

    @property
    def rest(self):
        return self.server.ports["REST"]

    @property
    def grpc(self):
        return f"127.0.0.1:{self.server.ports['gRPC']}"

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.server.stopping.set)
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error

    def ask(self, method, path, body=None, headers=()):
        """(status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=60)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def predict(self, model, **request):
        status, _, body = self.ask("POST", f"/v1/models/{model}:predict", request)
        assert status == 200, body
        return json.loads(body)


@contextlib.contextmanager
def running(folder, **options):
    server = Running(Options(folder=folder, rest_port=0, grpc_port=0, poll_seconds=0.1, drift_seconds=0.1, **options))
    try:
        yield server
    finally:
        server.stop()
