"""The refusals of the hot route: each is an HTTP status and one sentence that says what to do."""

from __future__ import annotations

from math import ceil

from inference.serving import metrics


class ProtocolError(Exception):
    """The request cannot be answered. Faces write it as `{"error": message}` with `status`."""

    def __init__(self, status: int, message: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers

    def document(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.message}


class NotReady(ProtocolError):
    """An endpoint that is there, and has nothing to answer with at present."""

    def __init__(self, message: str) -> None:
        super().__init__(503, message, headers=((b"retry-after", b"30"),))


class Overloaded(ProtocolError):
    """A bounded queue is full. `status` is 429 where the caller itself is the cause, else 503."""

    def __init__(self, message: str, *, status: int = 503, retry_after_s: int = 1) -> None:
        super().__init__(status, message, headers=((b"retry-after", str(retry_after_s).encode()),))


def would_wait(wait_s: float) -> Overloaded:
    """The early refusal of a request that would wait so long; it is counted."""
    metrics.SHED.inc()
    return Overloaded(
        f"this request would wait about {1000 * wait_s:.0f} ms for its turn; try again shortly",
        retry_after_s=max(ceil(wait_s), 1),
    )
