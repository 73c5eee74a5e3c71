"""The hot route's answers from the database: each call in its own transaction, seeing exactly the rows it may."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

import orjson
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)

from governance.access.challenges import TokenRefused
from governance.access.decisions import decide, require_obligations
from governance.access.principals import verified_token
from governance.access.refusals import note_token_refusal
from governance.access.services import record_refusal
from governance.decision import Decision
from governance.errors import AccessDenied, DomainError, ObligationUnmet, TooLarge
from governance.ethics.use import UNSAID, Use
from governance.keys.models import Destruction
from governance.oversight.duties import fulfilled_by_confirming
from governance.oversight.tasking import open_task
from governance.oversight.withholding import Content, withhold
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts import selectors
from inference.rollouts.models import InputCount, OutcomeRecord
from inference.serving import residency
from inference.serving.errors import Overloaded, ProtocolError
from inference.serving.input_counts import Counted
from inference.serving.lookups import EndpointSnapshot, Verdict
from inference.serving.outcomes import Outcome, UnacceptableOutcome
from inference.serving.referrals import Referral

P = ParamSpec("P")
R = TypeVar("R")

INVOKE = "rollouts.endpoint.invoke"
REFUSED_S = 1.0

_OUTCOME_COLUMNS = {
    "id": "uuid",
    "tenant_id": "uuid",
    "endpoint_id": "uuid",
    "model_version_id": "uuid",
    "at": "timestamptz",
    "latency_us": "integer",
    "status": "smallint",
    "rows": "integer",
    "bytes_in": "bigint",
    "principal_id": "text",
    "request_id": "text",
    "chosen": "text",
    "propensity": "double precision",
    "predicted": "text",
    "confidence": "double precision",
    "mirror_of": "uuid",
}
_NAMES = ", ".join(f'"{name}"' for name in _OUTCOME_COLUMNS)
_TYPED = ", ".join(f'"{name}" {type_}' for name, type_ in _OUTCOME_COLUMNS.items())
# One JSON parameter costs this process a fifth of what eleven arrays for unnest() cost it (measured: 4 ms instead of
# 21 ms per 1,500 rows), and the event loop waits for that.
_INSERT_OUTCOMES = (
    f"INSERT INTO {OutcomeRecord._meta.db_table} ({_NAMES}) "  # noqa: S608 - constants of this module
    f"SELECT {_NAMES} FROM json_to_recordset(%s::json) AS outcome({_TYPED}) ON CONFLICT DO NOTHING"
)
# The lesser of two that were written late never replaces the greater.
_WRITE_COUNTS = f"""
    INSERT INTO {InputCount._meta.db_table} AS known
        (id, tenant_id, model_version_id, revision, at, writer, rows, counts)
    SELECT gen_random_uuid(), v.tenant_id, v.id, c.revision, c.at, c.writer, c.rows, c.counts
    FROM json_to_recordset(%s::json) AS c(model_version_id uuid, revision uuid, at timestamptz, writer uuid,
                                          rows integer, counts jsonb)
    JOIN registry_modelversion v ON v.id = c.model_version_id
    ON CONFLICT (model_version_id, revision, at, writer) DO UPDATE
        SET rows = EXCLUDED.rows, counts = EXCLUDED.counts WHERE EXCLUDED.rows >= known.rows
"""  # noqa: S608 - constants of this module


def _in_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Give the thread's connection back (to the pool) after the call, and drop one that died before it."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return call


def _look_up(function: Callable[P, R]) -> Callable[P, R]:
    """A look-up in a thread; a database that does not answer is no fault of the server's code, so 503 and not 500."""
    in_thread = _in_thread(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return in_thread(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            raise Overloaded(
                "the database does not answer; try again in a moment", retry_after_s=5
            ) from error

    return call


class DatabaseSource:
    """`LookupSource` on the selectors and the policy decision point. Raises Overloaded while it does not answer."""

    @_look_up
    def identify(self, token: str) -> tuple[Principal, float, str] | None:
        found = verified_token(token)
        return (found.principal, found.expires.timestamp(), found.jkt) if found else None

    @_look_up
    def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        return selectors.endpoint_snapshot(tenant_id, name)

    @_look_up
    def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return selectors.endpoint_names(tenant_id)

    @_look_up
    def authorize(self, principal: Principal, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        target = ObjectRef("rollouts.endpoint", str(endpoint.id), label=endpoint.name)
        with tenant_context(endpoint.tenant_id), transaction.atomic():
            decision = decide(
                principal,
                INVOKE,
                target,
                tenant_id=endpoint.tenant_id,
                context=use.context(),
                enforced=True,
            )
            if decision.allow and (away := _kept_here(endpoint, use)) is not None:
                return away
        if decision.allow and set(decision.obligations) - fulfilled_by_confirming(decision.obligations):
            return _unfulfilled(decision)
        if not decision.allow:
            record_refusal(AccessDenied("", decision=decision))
        # A yes is kept as long as it says, a no for a moment: neither is asked for at every request.
        until = decision.valid_until if decision.allow else max(decision.valid_until, time.time() + REFUSED_S)
        return Verdict(decision.allow, "; ".join(decision.reasons), until, decision.step_up, decision)


def _kept_here(endpoint: EndpointSnapshot, use: Use) -> Verdict | None:
    """A no where one of the versions is on a server that its data may not reach."""
    for arm in endpoint.arms:
        reason, decision = residency.forbidden(arm, tenant_id=endpoint.tenant_id, use=use)
        if reason:
            if decision is not None:
                record_refusal(AccessDenied("", decision=decision))
            return Verdict(False, reason, time.time() + REFUSED_S)
    return None


def _unfulfilled(decision: Decision) -> Verdict:
    """A yes that comes with a duty which the hot route does not fulfil is a no here."""
    try:
        require_obligations(decision, fulfilled=fulfilled_by_confirming(decision.obligations))
    except ObligationUnmet as unmet:
        record_refusal(unmet)
        return Verdict(False, str(unmet.message), time.time() + REFUSED_S)
    raise AssertionError("a decision with obligations passed without any")


@_in_thread
def note_refused_token(refused: TokenRefused) -> None:
    """Keep a refused token of a known owner in the audit log."""
    note_token_refusal(refused)


@_look_up
def keys_destroyed(tenant_id: UUID) -> bool:
    """Whether a tenant's keys were destroyed on purpose: nothing that they sealed may stay readable."""
    with tenant_context(tenant_id), transaction.atomic():
        return Destruction.objects.filter(tenant_id=tenant_id, state=Destruction.State.CONFIRMED).exists()


@_look_up
def refer(referral: Referral) -> None:
    """Put one answer into the oversight queue, and keep it sealed there where a person must confirm it first.

    Raises Overloaded while the database does not answer, and ProtocolError when it cannot be kept.
    """
    facts: dict[str, object] = {"version": referral.version}
    if referral.confidence is not None:
        facts |= {"lowest confidence": f"{referral.confidence:.4f}"}
    if referral.rows:
        facts |= {"rows": ", ".join(map(str, referral.rows))}
    subject = ObjectRef("rollouts.endpoint", str(referral.endpoint_id), label=referral.endpoint)
    try:
        with tenant_context(referral.tenant_id), transaction.atomic():
            if referral.withheld:
                withhold(
                    holder=referral.asker,
                    action=INVOKE,
                    context=referral.use.context(),
                    content=Content(
                        referral.body,
                        "application/json" if referral.json_bytes is None else "application/octet-stream",
                        referral.json_bytes,
                    ),
                    subject=subject,
                    tenant_id=referral.tenant_id,
                    decision_id=str(referral.prediction_id),
                    facts=facts,
                    task_id=referral.task_id,
                    cause=referral.cause,
                )
                return
            open_task(
                principal=SYSTEM,
                asker=referral.asker,
                subject=subject,
                cause=referral.cause,
                tenant_id=referral.tenant_id,
                decision_id=str(referral.prediction_id),
                proposed=referral.proposed,
                facts=facts | {"asked by": referral.asker.label},
                task_id=referral.task_id,
            )
    except DomainError as refused:  # too large, too many that wait, or no key to seal it with
        raise ProtocolError(413 if isinstance(refused, TooLarge) else 503, str(refused)) from refused


@_in_thread
def write_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Write a batch of outcome records in one statement; those that are there already stay as they are.

    COPY would be shorter, but PostgreSQL refuses it under row security. Raises UnacceptableOutcome.
    """
    payload = orjson.dumps(list(outcomes)).decode()
    try:
        with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_INSERT_OUTCOMES, [payload])
    except (DataError, IntegrityError) as error:
        raise UnacceptableOutcome(str(error).splitlines()[0]) from error


@_in_thread
def write_input_counts(counted: Sequence[Counted]) -> None:
    """Write counts of inputs, in place of what the same process wrote of the same minute. One statement.

    Those of a tenant or a version that is gone are left out.
    """
    payload = orjson.dumps(list(counted)).decode()
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WRITE_COUNTS, [payload])
