"""Work in the background stops when who caused it may no longer have it done.

Every message says who caused it. A task asks at its start, and a long one between its steps, by `checkpoint`, whether
that is still good: account, program, tenant, and the right itself. The answer comes from a judge that the decision
point's app registers; it is remembered until something changes, so a checkpoint costs a dictionary look-up. The work
of the house itself (the beat's, say) passes, unless it is for a tenant that is suspended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Protocol
from uuid import UUID

from governance.errors import DomainError
from governance.principals import Kind, Principal
from governance.refs import ObjectRef


class Revoked(DomainError):
    """Who caused this work may no longer have it done: it ends here, and nothing half-done is kept."""

    status = 409
    code = "revoked"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who has work done, and (`action` on `target`) which right it rests on; without one, being somebody is enough.

    `duties` are the obligations under which the work was admitted and which it fulfils: one that has come into force
    since ends it, for nobody would fulfil that. Without them (None) the work is not asked about any. `context` are the
    facts that were said when it was admitted; one that a condition asks for and nobody said is a refusal. `scopes` are
    those of the token that asked for it, which count as long as its application may have them.
    """

    kind: Kind
    id: str
    tenant_id: UUID | None = None
    label: str = ""
    accountable_user_id: UUID | None = None
    scopes: tuple[str, ...] | None = None
    action: str = ""
    target_type: str = ""
    target_id: str = ""
    duties: tuple[str, ...] | None = None
    context: tuple[tuple[str, str | int], ...] = ()
    application_id: UUID | None = None

    @classmethod
    def of(cls, principal: Principal, action: str = "", target: ObjectRef | None = None) -> Cause:
        """The principal as a cause."""
        return cls(
            kind=principal.kind,
            id=principal.id,
            tenant_id=principal.tenant_id,
            label=principal.label,
            accountable_user_id=principal.accountable_user_id,
            scopes=None if principal.scopes is None else tuple(sorted(principal.scopes)),
            application_id=principal.application_id,
            action=action,
            target_type=target.type if target else "",
            target_id=target.id if target else "",
        )

    @classmethod
    def house(cls, tenant_id: UUID | None) -> Cause:
        """The house itself, on behalf of a tenant."""
        return cls(kind="system", id="system", tenant_id=tenant_id, label="OpenClaw")

    def as_header(self) -> dict[str, Any]:
        """Plain JSON for the message."""
        plain = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        if not self.context:
            del plain["context"]
        return {name: str(value) if isinstance(value, UUID) else value for name, value in plain.items()}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Cause:
        """What `as_header` made. Raises ValueError or TypeError for anything else."""
        given = dict(header)
        for name in ("tenant_id", "accountable_user_id", "application_id"):
            if name in given:
                given[name] = UUID(given[name])
        for name in ("scopes", "duties"):
            if given.get(name) is not None:
                given[name] = tuple(given[name])
        if "context" in given:
            given["context"] = tuple((str(name), value) for name, value in given["context"])
        return cls(**given)


class Judge(Protocol):
    """Says whether a cause is still good."""

    def objection(self, cause: Cause) -> str:
        """Empty, or the sentence for the person whose work ends. What is newly found is kept in the audit log."""


class _Nobody:
    def objection(self, cause: Cause) -> str:
        return ""


_judge: Judge = _Nobody()
_cause: ContextVar[Cause | None] = ContextVar("openclaw_cause", default=None)


def register(judge: Judge) -> None:
    """Ask `judge` from now on."""
    global _judge
    _judge = judge


def current_cause() -> Cause | None:
    """Who causes what the present code does; None for the house itself."""
    return _cause.get()


@contextmanager
def caused_by(cause: Cause | None) -> Iterator[None]:
    """Make `cause` the ambient one: what is queued inside carries it."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def checkpoint(cause: Cause | None = None) -> None:
    """Raise `Revoked` when the cause (by default the ambient one) is no longer good.

    Call it between steps and outside of transactions, where stopping leaves nothing half-done.
    """
    asked = cause or current_cause()
    if asked is not None and (objection := _judge.objection(asked)):
        raise Revoked(objection)
