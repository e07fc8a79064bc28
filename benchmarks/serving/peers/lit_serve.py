"""LitServe, with one worker process for the model."""

from __future__ import annotations

import sys

import litserve
from fastapi import Response

from serving.answer import answer
from serving.messages import PredictRequest
from training.artifact.folder import Artifact


class Risk(litserve.LitAPI):  # type: ignore[misc]
    """Decode, predict, encode."""

    model: Artifact

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        del device
        from benchmarks.serving.peers.model import MODEL

        self.model = MODEL

    def decode_request(self, request) -> PredictRequest:  # type: ignore[no-untyped-def]  # noqa: ANN001  it is read
        """JSON into a request."""
        return PredictRequest.model_validate(request)

    def predict(self, request: PredictRequest) -> str:
        """Predict."""
        return answer(self.model, "peer", request).model_dump_json()

    def encode_response(self, output: str) -> Response:
        """It is JSON already."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    api = Risk(api_path="/v1/predict")
    server = litserve.LitServer(api, accelerator="cpu", healthcheck_path="/readyz")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
