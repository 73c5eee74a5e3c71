"""Predictions for those who do not speak the Open Inference Protocol: plain JSON in, plain JSON out.

A translation only: the request is answered by the very application behind `/v2`, so that the decision, the split,
micro-batching, limits and outcome records are the same.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import orjson

from governance.ethics.use import UNSAID, Use
from governance.principals import Principal
from inference.serving.application import InferenceApplication
from inference.serving.batch.rows import BadRow, tensors_of_row
from inference.serving.errors import NotReady, ProtocolError
from inference.serving.referrals import AnswerWithheld
from inference.serving.signature import Signature

MAX_ROWS = 1_000


async def predict(
    application: InferenceApplication,
    *,
    principal: Principal,
    name: str,
    rows: list[Any],
    version: str = "",
    request_id: str = "",
    use: Use = UNSAID,
) -> dict[str, Any]:
    """The outputs of every row: `{"endpoint", "version", "decision_id", "predictions": [{output: value}], …}`.

    A row is an object of inputs without the batch dimension, or the bare value for a model with one input. Raises
    ProtocolError with the status and words that `/v2` would answer with.
    """
    if not 1 <= len(rows) <= MAX_ROWS:
        raise ProtocolError(400, f'"rows" must hold 1 to {MAX_ROWS} rows')
    admission = await application.admit_principal(principal, name, use)
    endpoint = admission.endpoint
    if not endpoint.arms:
        raise NotReady(f'endpoint "{name}" has no version at present')
    # All arms of an endpoint have one signature.
    signature = Signature.declared(endpoint.arms[0].inputs, endpoint.arms[0].outputs)
    if not signature.rows_are_variable and len(rows) > 1:
        raise ProtocolError(400, "this model takes one row at a time")
    body = orjson.dumps(_request(rows, signature, request_id), option=orjson.OPT_SERIALIZE_NUMPY)
    status, answer = await application.answer_body(admission, body, version=version)
    document = orjson.loads(answer)
    if status == 202:
        raise AnswerWithheld(UUID(document["oversight_task"]))
    if status != 200:
        raise ProtocolError(status, document.get("error", "the prediction failed"))
    outputs = {
        output["name"]: np.array(output["data"], dtype=object).reshape(output["shape"])
        for output in document["outputs"]
    }
    return {
        "endpoint": name,
        "version": document["model_version"],
        "prediction_id": document["parameters"]["prediction_id"],
        "decision_id": document["parameters"]["decision_id"],
        "propensity": document["parameters"]["propensity"],
        "oversight_task": document["parameters"].get("oversight_task"),
        "predictions": [
            {
                key: (tensor[index] if signature.rows_are_variable else tensor).tolist()
                if tensor.ndim > 1 or not signature.rows_are_variable
                else tensor[index]
                for key, tensor in outputs.items()
            }
            for index in range(len(rows))
        ],
    }


def _request(rows: list[Any], signature: Signature, request_id: str) -> dict[str, Any]:
    tensors = []
    for number, row in enumerate(rows, start=1):
        try:
            tensors.append(tensors_of_row(row, signature))
        except BadRow as error:
            raise ProtocolError(400, f"row {number}: {error}") from None
    inputs = []
    for name, spec in signature.inputs.items():
        parts = [row[name] for row in tensors]
        if any(part.shape != parts[0].shape for part in parts):
            raise ProtocolError(400, f'input "{name}": all rows of a request must have one shape')
        whole = np.concatenate(parts) if signature.rows_are_variable else parts[0]
        flat = whole.reshape(-1)
        data = [value.decode() for value in flat] if whole.dtype.hasobject else flat.tolist()
        inputs.append({"name": name, "datatype": spec.datatype, "shape": list(whole.shape), "data": data})
    return {"inputs": inputs} | ({"id": request_id} if request_id else {})
