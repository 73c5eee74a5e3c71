"""One call of a base capability: it goes the way of every prediction, with its decision, split, limits and record."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync

from governance.ethics.use import UNSAID, Use
from governance.principals import Principal
from inference.capabilities.answers import answer_of
from inference.capabilities.catalogue import Capability
from inference.capabilities.rows import image_row, text_row
from inference.serving.asgi import application
from inference.serving.predict import predict

MOST_ROWS = 100
# Of pictures fewer: each is a row of thousands of numbers.
MOST_IMAGES = 16


def use(
    capability: Capability,
    *,
    principal: Principal,
    texts: list[str] | None = None,
    images: list[bytes] | None = None,
    request_id: str = "",
    purpose: Use = UNSAID,
) -> dict[str, Any]:
    """The answers, one per text or picture, with the version and the decision that feedback names.

    Raises InvalidInput, and ProtocolError with what `/v2` would answer. Call it outside a transaction.
    """
    sizes: list[tuple[int, int] | None]
    if images is not None:
        read = [image_row(raw, capability) for raw in images]
        rows, sizes = [row for row, _size in read], [size for _row, size in read]
    else:
        rows = [text_row(text) for text in texts or []]
        sizes = [None] * len(rows)
    found = async_to_sync(predict)(
        application,
        principal=principal,
        name=capability.model_name,
        rows=rows,
        request_id=request_id,
        use=purpose,
    )
    answers = [
        answer_of(capability, outputs, size=size)
        for outputs, size in zip(found["predictions"], sizes, strict=True)
    ]
    told = ("version", "decision_id", "propensity", "oversight_task")
    return {"capability": capability.name, **{key: found[key] for key in told}, "answers": answers}
