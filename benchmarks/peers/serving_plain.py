"""A SavedModel behind a plain FastAPI handler, as in tutorials: one call per request, no batching."""

import os
from pathlib import Path

import tensorflow as tf
import tensorflow_text  # noqa: F401
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from textpipe.savedmodel import publish

loaded = tf.saved_model.load(str(publish.latest_version(Path(os.environ["TEXTPIPE_MODEL"]))))
function = loaded.signatures["serving_default"]
(field,) = function.structured_input_signature[1]
app = FastAPI()


class Request(BaseModel):
    instances: list[str]


@app.post("/")
def predict(request: Request):
    outputs = function(**{field: tf.constant(request.instances)})
    answers, scores = outputs["answer"].numpy(), outputs["score"].numpy()
    return {
        "predictions": [
            {"answer": answer.decode(), "score": float(score)} for answer, score in zip(answers, scores, strict=True)
        ]
    }


uvicorn.run(app, port=int(os.environ["PORT"]), log_level="error")
