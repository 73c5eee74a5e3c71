"""An endpoint that has nothing to answer with says when to ask again, on the REST API as on `/v2`."""

from __future__ import annotations

from types import SimpleNamespace

from governance.access.rest import exception_handler
from inference.serving.api import PredictionRefused
from inference.serving.errors import NotReady, ProtocolError


def answered(error: ProtocolError):
    return exception_handler(PredictionRefused(error), {"request": SimpleNamespace(_request=None)})


def test_a_refusal_for_now_says_when_to_come_back() -> None:
    refused = NotReady('endpoint "m" has no version at present')
    assert dict(refused.headers)[b"retry-after"] == b"30"
    response = answered(refused)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")
    assert response.data["detail"] == refused.message


def test_a_refusal_for_good_does_not() -> None:
    assert "Retry-After" not in answered(ProtocolError(404, "there is no such version")).headers
