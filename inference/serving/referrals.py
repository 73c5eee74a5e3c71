"""Answers that a person must look at: put into the oversight queue before anything is given.

Three obligations of a decision end here. `person-confirms`: much depends on the answer, so it is withheld, sealed,
until a person has confirmed it. `refer-below:LIMIT:OUTPUT`: the model is not sure, so the answer is given, marked with
its task, and a person looks at it; `withhold-below:LIMIT:OUTPUT`: it is not sure, and the answer is withheld as well.
What cannot be put into the queue is not answered: a duty that nobody sees is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from governance.ethics.use import UNSAID, Use
from governance.ids import uuid7
from governance.oversight.duties import ADDRESS, PERSON_CONFIRMS, limits_of, withholding_limits_of
from governance.principals import Principal
from inference.serving.errors import ProtocolError

ROWS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Referral:
    """One answer for the queue. `rows` are the numbers (from 1) of those that a person must look at.

    `body` is the whole answer where it is withheld, and `json_bytes` the size of its JSON part where binary follows.
    """

    task_id: UUID
    tenant_id: UUID
    endpoint_id: UUID
    endpoint: str
    version: str
    prediction_id: UUID
    cause: str
    asker: Principal
    rows: tuple[int, ...]
    confidence: float | None = None
    proposed: str = ""
    withheld: bool = False
    use: Use = UNSAID
    body: bytes = b""
    json_bytes: int | None = None


class AnswerWithheld(ProtocolError):
    """The answer waits for a person. 202, which clients of the protocol take for an error, as they take all but 200."""

    def __init__(self, task_id: UUID) -> None:
        address = ADDRESS.format(task=task_id)
        super().__init__(
            202,
            f"a person must confirm this answer first (oversight task {task_id}); fetch it at {address}",
            headers=((b"location", address.encode()), (b"retry-after", b"60")),
        )
        self.task_id = task_id

    def document(self) -> dict[str, str]:
        """The error, and the task by its number."""
        return super().document() | {"oversight_task": str(self.task_id)}


Refer = Callable[[Referral], Awaitable[None]]


def referral_of(
    obligations: Iterable[str],
    outputs: Mapping[str, np.ndarray],
    *,
    tenant_id: UUID,
    endpoint_id: UUID,
    endpoint: str,
    version: str,
    prediction_id: UUID,
    asker: Principal,
    use: Use = UNSAID,
) -> Referral | None:
    """What goes to a person of one answer; None when nothing does.

    The confidence of a row is the highest value of the named output (by default the last one with a class axis). An
    output that is not there, or is no number, counts as no confidence at all.
    """
    duties = list(obligations)
    limits = limits_of(duties)
    unsure = unsure_rows(outputs, limits)
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
        asker=asker,
        withheld=impact or bool(unsure_rows(outputs, withholding_limits_of(duties))),
        use=use,
        rows=tuple(unsure)[:ROWS_NAMED],
        confidence=min(unsure.values()) if unsure else None,
        proposed=_proposed(outputs, limits[0][1] if limits else ""),
        task_id=uuid7(),
    )


def unsure_rows(outputs: Mapping[str, np.ndarray], limits: Iterable[tuple[float, str]]) -> dict[int, float]:
    """The rows (from 1) whose confidence is below a limit, with the lowest confidence of each."""
    unsure: dict[int, float] = {}
    for limit, name in limits:
        for number, confidence in enumerate(_confidences(outputs, name), start=1):
            if not confidence >= limit:  # also where it is not a number
                unsure[number] = min(confidence, unsure.get(number, confidence))
    return unsure


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
