"""A uvicorn handler without a model that returns a fixed response to every request: the limit of the HTTP side."""

import os

import uvicorn

BODY = b'{"predictions": []}'
HEAD = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": BODY})


uvicorn.run(app, port=int(os.environ["PORT"]), lifespan="off", access_log=False, log_level="error")
