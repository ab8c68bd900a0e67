"""A model server: KServe's own, with an exported model in ONNX Runtime.

Runs in an environment of its own (model_server.txt), which has neither MXNet nor this suite:
python model_server.py --model_name NAME --model_file FILE --http_port PORT --host ADDRESS
"""

import argparse
import asyncio
import math
import uuid
from typing import Any

import kserve
import numpy as np
import onnxruntime
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput
from kserve.model_server import app
from kserve.model_server import parser as kserve_parser
from kserve.protocol.dataplane import DataPlane

MOST = 1024  # images of a request, as many as Triton takes


class OnnxModel(kserve.Model):
    """An ONNX model with one input, uint8 (N, C, H, W), and one output, float32 (N, K)."""

    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (self.taken,), (self.given,) = self.session.get_inputs(), self.session.get_outputs()
        self.image_shape = self.taken.shape[1:]
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return what the metadata say of the input."""
        return [{"name": self.taken.name, "datatype": "UINT8", "shape": [-1, *self.image_shape]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return what the metadata say of the output."""
        return [{"name": self.given.name, "datatype": "FP32", "shape": [-1, *self.given.shape[1:]]}]

    async def predict(self, payload: Any, headers: Any = None) -> kserve.InferResponse:
        """Return the probabilities of the images of a request; others are answered meanwhile.

        Raises:
            InvalidInput: the request is none of version 2 of the protocol, or its images don't fit.
        """
        if not isinstance(payload, kserve.InferRequest):
            raise InvalidInput(f"use version 2 of the protocol: /v2/models/{self.name}/infer")
        images = self.images_of(payload)
        (probabilities,) = await asyncio.to_thread(
            self.session.run, [self.given.name], {self.taken.name: images}
        )
        output = kserve.InferOutput(self.given.name, list(probabilities.shape), "FP32")
        output.data = probabilities
        return kserve.InferResponse(
            response_id=payload.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=[output],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def images_of(self, request: kserve.InferRequest) -> np.ndarray:
        """Return the images of a request, uint8 (N, C, H, W).

        Raises:
            InvalidInput: there is another input, type or shape, or a value that is no pixel.
        """
        name, shape = self.taken.name, self.image_shape
        if [given.name for given in request.inputs] != [name]:
            names = ", ".join(repr(given.name) for given in request.inputs)
            raise InvalidInput(f"expected the one input {name!r}, got {names or 'none'}")
        (given,) = request.inputs
        if given.datatype != "UINT8":
            raise InvalidInput(f"{name} must be of type UINT8, got {given.datatype}")
        if given.shape[1:] != shape or not 1 <= given.shape[0] <= MOST:
            expected = ", ".join(map(str, ["N", *shape]))
            raise InvalidInput(
                f"{name} must have the shape [{expected}], N from 1 to {MOST}, got {given.shape}"
            )
        try:
            pixels = np.asarray(given.data)
        except ValueError:  # lists of different lengths
            pixels = np.zeros(0)
        whole = pixels.dtype.kind in "iu"
        if not whole or pixels.size != math.prod(given.shape) or not in_a_byte(pixels):
            raise InvalidInput(
                f"{name} must have {math.prod(given.shape)} whole numbers from 0 to 255"
            )
        return pixels.astype(np.uint8).reshape(given.shape)


def in_a_byte(values: np.ndarray) -> bool:
    """Tell whether whole numbers fit into a byte."""
    return bool(values.min() >= 0 and values.max() <= 255)


async def refuse(_: Any, error: RequestValidationError) -> JSONResponse:
    """Answer a request whose JSON is not as it must be, in one sentence."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "InferenceRequest")
    sentence = f"this is no request of version 2: {place}: {first['msg']}"
    return JSONResponse({"error": sentence}, status_code=400)


class StrictDataPlane(DataPlane):
    """Answers a request that can't be decoded with 400, where KServe's own answers with 500."""

    def decode_inference_request(self, body: Any, headers: Any, model_name: str) -> Any:
        """Return a request, decoded.

        Raises:
            InvalidInput: it is no request of version 2, in JSON or binary.
        """
        try:
            return super().decode_inference_request(body, headers, model_name)
        except InvalidInput:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"this is no request of version 2: {error!r}") from error


class Server(kserve.ModelServer):
    """KServe's server, on one address of this machine."""

    def __init__(self, host: str, **options: Any) -> None:
        super().__init__(**options)
        self.host = host
        self.dataplane = StrictDataPlane(model_registry=self.registered_models)

    async def _serve(self) -> None:
        self._rest_server.config.host = self.host
        await super()._serve()


def main() -> None:
    """Serve a model until the process is told to end."""
    parser = argparse.ArgumentParser(parents=[kserve_parser])
    parser.add_argument("--model_file", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    chosen = parser.parse_args()
    app.add_exception_handler(RequestValidationError, refuse)
    asyncio.set_event_loop(asyncio.new_event_loop())  # KServe takes it, Python 3.14 makes none
    server = Server(chosen.host, enable_grpc=False, enable_latency_logging=False)
    server.start([OnnxModel(chosen.model_name, chosen.model_file)])


if __name__ == "__main__":
    main()
