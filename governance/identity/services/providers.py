"""A company's own sign-in: the provider, and which of its groups have which role here."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.identity.fetch import check_address
from governance.identity.models import GroupMapping, IdentityProvider
from governance.identity.services.policy import people_roles
from governance.ids import uuid7
from governance.keys.envelopes import seal, unseal
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

PURPOSE = "identity-provider"
WELL_KNOWN = "/.well-known/openid-configuration"
MAX_MAPPINGS = 200


@transaction.atomic
def add_provider(
    *,
    principal: Principal,
    tenant_id: UUID,
    name: str,
    issuer: str,
    client_id: str,
    client_secret: str = "",
    discovery_url: str = "",
    group_claim: str = "groups",
    internal_network: bool = False,
    mappings: Iterable[tuple[str, str]] = (),
) -> IdentityProvider:
    """Let a tenant's people sign in with their company's provider.

    Nobody gets in before a group has a role. The secret is sealed with the tenant's key and never shown again.
    """
    require(principal, "identity.provider.manage", tenant_id=tenant_id)
    if internal_network:
        require(principal, "identity.provider.internal", tenant_id=tenant_id)
    issuer = issuer.strip()
    discovery_url = discovery_url.strip() or issuer.rstrip("/") + WELL_KNOWN
    check_address(issuer)
    check_address(discovery_url)
    if not name.strip() or not client_id.strip():
        raise InvalidInput(_("Give the provider a name and the client id that it knows this site by."))
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    provider = IdentityProvider(
        id=uuid7(),
        tenant=tenant,
        name=name.strip()[:80],
        issuer=issuer,
        discovery_url=discovery_url,
        client_id=client_id.strip(),
        group_claim=group_claim.strip() or "groups",
        internal_network=internal_network,
    )
    provider.sealed_secret = _sealed(provider, client_secret)
    try:
        with transaction.atomic():
            provider.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("This provider is there already, with the same client id.")) from error
    kept = _map(provider, mappings)
    record(
        principal=principal,
        action="identity.provider.add",
        target=ObjectRef.of(provider),
        tenant_id=tenant_id,
        details={
            "issuer": issuer,
            "client_id": provider.client_id,
            "groups": kept,
            "internal": internal_network,
        },
    )
    return provider


@transaction.atomic
def change_provider(
    *,
    principal: Principal,
    provider_id: UUID,
    name: str | None = None,
    client_secret: str | None = None,
    group_claim: str | None = None,
    enabled: bool | None = None,
    internal_network: bool | None = None,
    mappings: Iterable[tuple[str, str]] | None = None,
) -> IdentityProvider:
    """Change what may change of a provider: not its issuer, whose subjects the accounts are known by.

    Disabling it stops new sign-ins; sessions that are open go on until they end or are ended.
    """
    provider = IdentityProvider.objects.select_for_update(of=("self",)).filter(pk=provider_id).first()
    if provider is None:
        raise NotFound(_("There is no such identity provider."))
    require(principal, "identity.provider.manage", provider)
    if internal_network is not None and internal_network != provider.internal_network:
        require(principal, "identity.provider.internal", provider)
        provider.internal_network = internal_network
    provider.name = (name or "").strip()[:80] or provider.name
    provider.group_claim = (group_claim or "").strip() or provider.group_claim
    if enabled is not None:
        provider.enabled = enabled
    if client_secret:
        provider.sealed_secret = _sealed(provider, client_secret)
    provider.save()
    details = {
        "enabled": provider.enabled,
        "group_claim": provider.group_claim,
        "internal": provider.internal_network,
        "new_secret": bool(client_secret),
    }
    if mappings is not None:
        details["groups"] = _map(provider, mappings)
    record(
        principal=principal,
        action="identity.provider.change",
        target=ObjectRef.of(provider),
        tenant_id=provider.tenant_id,
        details=details,
    )
    return provider


def secret_of(provider: IdentityProvider) -> str:
    """The client secret, unsealed for one sign-in."""
    if not provider.sealed_secret:
        return ""
    with platform_scope(), transaction.atomic():
        blob = base64.b64decode(provider.sealed_secret)
        plain = unseal(blob, tenant_id=provider.tenant_id, purpose=PURPOSE, object_id=str(provider.pk))
    return plain.decode()


def _sealed(provider: IdentityProvider, secret: str) -> str:
    if not secret:
        return ""
    blob = seal(secret.encode(), tenant_id=provider.tenant_id, purpose=PURPOSE, object_id=str(provider.pk))
    return base64.b64encode(blob).decode()


def _map(provider: IdentityProvider, mappings: Iterable[tuple[str, str]]) -> list[str]:
    """Put these groups in place of those that are there; returns them as the log writes them."""
    wanted = sorted({(value.strip(), str(role)) for value, role in mappings if value.strip()})
    known = people_roles(provider.tenant)
    if unknown := [role for _value, role in wanted if role not in known]:
        raise InvalidInput(
            _("The role %(role)s does not exist in a tenant of this kind.") % {"role": unknown[0]},
            hint=_("Roles here: %(roles)s.") % {"roles": ", ".join(sorted(known))},
        )
    if len(wanted) > MAX_MAPPINGS or any(len(value) > 200 for value, _role in wanted):
        raise InvalidInput(
            _("At most %(count)d groups, with names of at most 200 characters.") % {"count": MAX_MAPPINGS}
        )
    provider.mappings.all().delete()
    GroupMapping.objects.bulk_create(
        GroupMapping(tenant_id=provider.tenant_id, provider=provider, value=value, role=role)
        for value, role in wanted
    )
    return [f"{value} → {role}" for value, role in wanted]
