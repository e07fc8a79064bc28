"""FastAPI on uvicorn."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from benchmarks.serving.peers.model import MODEL
from serving.answer import answer
from serving.messages import PredictAnswer, PredictRequest

app = FastAPI()


@app.get("/readyz")
def ready() -> str:
    """Whether it is up."""
    return "yes"


@app.post("/v1/predict")
def predict(request: PredictRequest) -> PredictAnswer:
    """Predict."""
    return answer(MODEL, "peer", request)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
