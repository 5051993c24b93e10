"""A server of both doors in a thread of this process."""

import asyncio
import contextlib
import http.client
import json
import threading
import time

from textpipe.serve.server import Options, Server


def until(found, seconds=30):
    """Waits for something that another thread does."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def states(server, model):
    """{version: (its state, why)} of a model."""
    status, _, body = server.ask("GET", f"/v1/models/{model}")
    found = json.loads(body).get("model_version_status", []) if status == 200 else []
    return {int(one["version"]): (one["state"], one["status"]["error_message"]) for one in found}


class Running:
    def __init__(self, options):
        self.heard = threading.Event()
        self.server = Server(options, lambda text: self.heard.set())
        self.error = None
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()
        while not self.heard.wait(0.05):
            if not self.thread.is_alive():
                raise self.error

    def live(self):
        async def run():
            self.loop = asyncio.get_running_loop()
            await self.server.run()

        try:
            asyncio.run(run())
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
            self.loop.call_soon_threadsafe(self.server.over.set)
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
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def predict(self, model, **request):
        status, _, body = self.ask("POST", f"/v1/models/{model}:predict", request)
        assert status == 200, body
        return json.loads(body)


@contextlib.contextmanager
def running(folder, **options):
    made = Running(Options(folder=folder, rest_port=0, grpc_port=0, poll_seconds=0.1, watch_seconds=0.1, **options))
    try:
        yield made
    finally:
        made.stop()
