"""An exported model as a deployment of Ray Serve, with Ray's own batching.

    TEXTPIPE_MODEL=saved_models/phrases_en_de serve run textpipe.serve.ray_deployment:app

POST / {"instances": ["text", ...]} -> {"predictions": [{"answer": ..., "score": ...}, ...]}
"""

import os
from typing import Any, cast

from ray import serve

BATCH_ROWS, WAIT_SECONDS = 64, 0.005


@serve.deployment
class Answers:
    """The latest version of one model, chosen when the replica starts."""

    def __init__(self, model: str):
        from textpipe.runtime import onednn, threads
        from textpipe.savedmodel.loader import Model

        threads.limit_intra_op()
        onednn.disable_by_default()
        self.model = Model.load(model, runtime="session")

    @serve.batch(max_batch_size=BATCH_ROWS, batch_wait_timeout_s=WAIT_SECONDS)
    async def answer(self, rows: list[Any]) -> list[dict[str, Any]]:
        return self.model.predict(rows)

    async def __call__(self, request: Any) -> Any:
        import asyncio

        from starlette.responses import JSONResponse

        from textpipe.errors import ModelError
        from textpipe.serve.engine.redaction import without_paths

        try:
            instances = (await request.json())["instances"]
            predictions = await asyncio.gather(*(self.answer(row) for row in instances))
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": 'expected {"instances": [...]}'}, 400)
        except ModelError as error:
            return JSONResponse({"error": without_paths(str(error), self.model.path.parent.parent)}, 400)
        return {"predictions": predictions}


app = cast(Any, Answers).bind(os.environ.get("TEXTPIPE_MODEL", ""))
