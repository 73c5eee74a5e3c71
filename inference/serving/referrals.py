"""Answers that a person must look at: put into the oversight queue before they are given, and marked as such.

Two obligations of a decision end here: `person-confirms` (much depends on the answer) and `refer-below:LIMIT:OUTPUT`
(the model is not sure). What cannot be put into the queue is not answered: a duty that nobody sees is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from governance.ids import uuid7

PERSON_CONFIRMS = "person-confirms"
REFER_BELOW = "refer-below"
ROWS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Referral:
    """One answer for the queue. `rows` are the numbers (from 1) of those that a person must look at."""

    task_id: UUID
    tenant_id: UUID
    endpoint_id: UUID
    endpoint: str
    version: str
    prediction_id: UUID
    cause: str
    asked_by: str
    rows: tuple[int, ...]
    confidence: float | None = None
    proposed: str = ""


Refer = Callable[[Referral], Awaitable[None]]


def fulfilled_here(obligations: Iterable[str]) -> frozenset[str]:
    """Those of a decision's obligations that the hot route fulfils by putting the answer into the queue."""
    return frozenset(
        duty for duty in obligations if duty == PERSON_CONFIRMS or duty.startswith(f"{REFER_BELOW}:")
    )


def referral_of(
    obligations: Iterable[str],
    outputs: Mapping[str, np.ndarray],
    *,
    tenant_id: UUID,
    endpoint_id: UUID,
    endpoint: str,
    version: str,
    prediction_id: UUID,
    asked_by: str,
) -> Referral | None:
    """What goes to a person of one answer; None when nothing does.

    The confidence of a row is the highest value of the named output (by default the last one with a class axis). An
    output that is not there, or is no number, counts as no confidence at all.
    """
    duties = list(obligations)
    limits = [duty.split(":", 2)[1:] for duty in duties if duty.startswith(f"{REFER_BELOW}:")]
    unsure: dict[int, float] = {}
    for limit, name in limits:
        for number, confidence in enumerate(_confidences(outputs, name), start=1):
            if not confidence >= float(limit):  # also where it is not a number
                unsure[number] = min(confidence, unsure.get(number, confidence))
    impact = PERSON_CONFIRMS in duties
    if not impact and not unsure:
        return None
    return Referral(
        tenant_id=tenant_id,
        endpoint_id=endpoint_id,
        endpoint=endpoint,
        version=version,
        prediction_id=prediction_id,
        cause="high_impact" if impact else "low_confidence",
        asked_by=asked_by,
        rows=tuple(unsure)[:ROWS_NAMED],
        confidence=min(unsure.values()) if unsure else None,
        proposed=_proposed(outputs, limits[0][1] if limits else ""),
        task_id=uuid7(),
    )


def _confidences(outputs: Mapping[str, np.ndarray], name: str) -> list[float]:
    tensor = _probabilities(outputs, name)
    if tensor is None or tensor.size == 0:
        return [float("nan")]
    rows = tensor.reshape(tensor.shape[0], -1) if tensor.ndim > 1 else tensor.reshape(1, -1)
    return [float(row.max()) for row in rows]


def _proposed(outputs: Mapping[str, np.ndarray], name: str) -> str:
    """The class that the model says, where the answer is about one thing."""
    tensor = _probabilities(outputs, name)
    if tensor is None or tensor.size == 0 or (tensor.ndim > 1 and tensor.shape[0] != 1):
        return ""
    return str(int(tensor.reshape(-1).argmax()))


def _probabilities(outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    if name:
        found = outputs.get(name)
        return found if found is not None and found.dtype.kind == "f" else None
    candidates = [value for value in outputs.values() if value.dtype.kind == "f" and value.ndim > 1]
    return candidates[-1] if candidates else None
