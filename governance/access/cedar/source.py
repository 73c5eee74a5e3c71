"""Which administrators' policies are in force: handed in by `governance.policies`, which keeps them in the database."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from governance.access.cedar.engine import PolicyBook, product_rules


class PolicySource(Protocol):
    """Policies by tenant. Called at every decision, so it answers from memory."""

    def book(self, tenant_id: UUID | None) -> PolicyBook:
        """The product's rules with the platform's and this tenant's policies in force."""


class ProductRulesOnly:
    """The source of a site without policies of its own."""

    def book(self, tenant_id: UUID | None) -> PolicyBook:
        return product_rules()


_source: PolicySource = ProductRulesOnly()


def register(source: PolicySource) -> None:
    """Ask `source` from now on."""
    global _source
    _source = source


def book_for(tenant_id: UUID | None) -> PolicyBook:
    """The policies in force for things of this tenant."""
    return _source.book(tenant_id)
