"""Policies of a tenant for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from governance.policies import services
from governance.policies.models import PolicyVersion
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope

NO_BATCH = """
@id("no-batch")
@reason("Batch jobs wait until the bank has decided about them.")
@help("Ask the data office.")
forbid (principal, action == Action::"serving.batch.create", resource);
"""


@contextmanager
def acting(principal: Principal) -> Iterator[None]:
    """What a request's middleware does: the principal's rows, one transaction."""
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


def propose_policies(author: Principal, text: str = NO_BATCH, note: str = "") -> PolicyVersion:
    """Drafted and put before a second person."""
    with acting(author):
        draft = services.save_draft(principal=author, text=text, note=note)
        return services.propose(principal=author, version_id=draft.id)


def enact_policies(author: Principal, second: Principal, text: str = NO_BATCH) -> PolicyVersion:
    """Proposed by one and put in force by the other."""
    version = propose_policies(author, text)
    with acting(second):
        return services.activate(principal=second, version_id=version.id)
