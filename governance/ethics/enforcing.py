"""The conditions of approvals at the decision point: who uses or releases a bound object meets them here.

An object that needs an approval is refused while none is in force; while one is, its conditions refuse what they do
not cover and tie the duty of a person's confirmation to large amounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from governance.access import conditions
from governance.access.conditions import Finding, Question
from governance.access.facts import facts_of
from governance.data.pools import pools_for
from governance.decision import Decision
from governance.errors import AccessDenied
from governance.ethics.models import Binding
from governance.ethics.selectors import bindings_of, bound_objects, holds_now
from governance.ethics.subjects import parts_of
from governance.ethics.terms import parse_terms
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_scope, tenant_context
from governance.tenants.tasks import own_pool

EXPIRED = "ethics.no-valid-approval"
IN_FORCE = "ethics.approval"


def register() -> None:
    """Have the decision point ask."""
    conditions.register(on_invoke, groups={"invoke"})
    conditions.register(on_release, groups={"release"})


def on_invoke(question: Question) -> Iterable[Finding]:
    """A use: refused when nothing behind the target is approved; the terms of what is approved are judged.

    Parts without an approval are left out by who routes (`selectors.without_approval`), so that one expired version
    does not stop its siblings.
    """
    target = question.target
    if target is None or question.tenant_id is None:
        return []
    known = _bindings(question)
    if not known:
        return []
    with _rows_of(question):
        parts = parts_of(target)
    bound = [row for part in parts if (row := known.get((part.type, part.id))) is not None]
    valid = [row for row in bound if holds_now(row)]
    if bound and not valid and len(bound) == len(parts):
        return [_no_approval(bound[0])]
    return list(_unique(_on_use(question, valid)))


def on_release(question: Question) -> Iterable[Finding]:
    """Giving traffic: the object itself must be approved, for at least this share."""
    target = question.target
    if target is None or question.tenant_id is None:
        return []
    with _rows_of(question):
        bound = bindings_of([target], tenant_id=question.tenant_id)
    return [
        finding
        for row in bound
        for finding in (
            parse_terms(row.conditions).on_release(question.context)
            if holds_now(row)
            else [_no_approval(row)]
        )
    ]


def require_approved(*, principal: Principal, action: str, target: ObjectRef, tenant_id: UUID) -> None:
    """Raise AccessDenied unless this very object has the approval that it needs, for who picks one of several."""
    for row in bindings_of([target], tenant_id=tenant_id):
        if not holds_now(row):
            found = _no_approval(row)
            decision = Decision(
                False, action, (found.reason,), principal, target, tenant_id, rules=(found.rule,)
            )
            raise AccessDenied(found.reason, decision=decision, hint=found.help)


def conditions_for(refs: Iterable[ObjectRef], *, tenant_id: UUID) -> dict[str, list[str]]:
    """The conditions on each of these objects in the reader's words, by object id; for pages. One query."""
    rows = bindings_of(refs, tenant_id=tenant_id)
    return {
        row.object_id: parse_terms(row.conditions).sentences()
        if holds_now(row)
        else [str(_no_approval(row).reason)]
        for row in rows
    }


def _bindings(question: Question) -> Mapping[tuple[str, str], Binding]:
    """Everything in the tenant that needs an approval, from memory: most tenants have nothing, and pay nothing."""
    tenant_id = question.tenant_id
    assert tenant_id is not None

    def load() -> Mapping[tuple[str, str], Binding]:
        with _rows_of(question):
            return {
                (row.object_type, row.object_id): row for row in Binding.objects.filter(tenant_id=tenant_id)
            }

    return bound_objects.get(tenant_id, load)


def _on_use(question: Question, rows: list[Binding]) -> Iterator[Finding]:
    for row in rows:
        if row.valid_until is not None:
            yield Finding(IN_FORCE, allow=True, valid_until=row.valid_until.timestamp())
        terms = parse_terms(row.conditions)
        region = ""
        if terms.regions is not None:
            # Where this process runs says more than where the thing is entered.
            region = _region_here(question.tenant_id) or str(
                facts_of(question.target, question.tenant_id).get("region") or ""
            )
        yield from terms.on_use(question.context, region=region, needed=question.enforced)


def _region_here(tenant_id: UUID | None) -> str:
    """The region of the compute pool that this process belongs to; empty where nobody has entered it."""
    name = own_pool()
    return next((pool.region for pool in pools_for(tenant_id) if pool.name == name), "")


def _unique(findings: Iterable[Finding]) -> Iterator[Finding]:
    seen: set[Finding] = set()
    for finding in findings:
        if finding not in seen:
            seen.add(finding)
            yield finding


def _no_approval(row: Binding) -> Finding:
    return Finding(
        EXPIRED,
        _("“%(name)s” needs an ethics approval, and none is in force.")
        % {"name": row.object_label or row.object_id},
        help=_("Its publisher can ask for a renewal; the ethics office decides."),
    )


@contextmanager
def _rows_of(question: Question) -> Iterator[None]:
    """A scope that shows the tenant's rows: without one a query would find none, and none would mean allowed."""
    scope = current_scope()
    if connection.in_atomic_block and (scope.platform or scope.tenant_id == question.tenant_id):
        yield
        return
    assert question.tenant_id is not None
    with tenant_context(question.tenant_id), transaction.atomic():
        yield
