"""Changing tenants, people, memberships and OAuth 2.0 clients; keeping refusals."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from oauth2_provider.models import get_access_token_model

from governance.access.decisions import require
from governance.access.leaving import disabled, keep_an_administrator, left
from governance.access.models import Application, TokenBinding
from governance.access.redirects import check_personal_scopes, checked_redirects
from governance.access.scopes import SCOPES
from governance.audit.services import platform_tenant_id, record
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.principals import PLATFORM_ROLES, Principal, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

ROLES_BY_KIND = {
    Tenant.Kind.PLATFORM: PLATFORM_ROLES - {Role.SYSTEM},
    Tenant.Kind.ORGANISATION: frozenset(
        {Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.SERVICE}
    ),
    Tenant.Kind.PARTNER: frozenset({Role.PARTNER, Role.SERVICE}),
}


@transaction.atomic
def create_tenant(*, principal: Principal, slug: str, name: str, kind: str) -> Tenant:
    """A new isolation domain. Its short name is unique on the platform."""
    require(principal, "tenants.tenant.manage")
    try:
        with transaction.atomic():
            tenant = Tenant.objects.create(slug=slug, name=name, kind=kind)
    except IntegrityError as error:
        raise Conflict(_("There is already a tenant “%(slug)s”.") % {"slug": slug}) from error
    record(
        principal=principal, action="tenants.tenant.create", target=ObjectRef.of(tenant), tenant_id=tenant.id
    )
    return tenant


@transaction.atomic
def suspend_tenant(*, principal: Principal, tenant_id: UUID, reason: str) -> Tenant:
    """Stop everything that a tenant's people and clients do, within a second, until it is resumed."""
    return _set_suspended(principal=principal, tenant_id=tenant_id, reason=reason, suspended=True)


@transaction.atomic
def resume_tenant(*, principal: Principal, tenant_id: UUID, reason: str) -> Tenant:
    """Let a suspended tenant work again."""
    return _set_suspended(principal=principal, tenant_id=tenant_id, reason=reason, suspended=False)


def _set_suspended(*, principal: Principal, tenant_id: UUID, reason: str, suspended: bool) -> Tenant:
    require(principal, "tenants.tenant.manage", tenant_id=tenant_id)
    tenant = Tenant.objects.select_for_update().filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    if tenant.kind == Tenant.Kind.PLATFORM:
        raise Conflict(_("The platform's own tenant cannot be suspended."))
    tenant.suspended_at = timezone.now() if suspended else None
    tenant.save(update_fields=["suspended_at"])
    record(
        principal=principal,
        action="tenants.tenant.suspend" if suspended else "tenants.tenant.resume",
        target=ObjectRef.of(tenant),
        tenant_id=tenant.id,
        reason=reason,
    )
    return tenant


@transaction.atomic
def create_person(*, principal: Principal, username: str, password: str, email: str = "") -> User:
    """A new account without any right; memberships give rights. The password must pass the site's validators.

    A tenant's administrator names people within the tenant (`anna` becomes `anna@bank`), so that whether a name is
    taken tells nothing about people elsewhere.
    """
    require(principal, "tenants.membership.manage")
    if not principal.platform and principal.tenant_id is not None:
        username = _within_tenant(username, principal.tenant_id)
    from django.contrib.auth.password_validation import validate_password

    validate_password(password, User(username=username, email=email))
    if User.objects.filter(username=username).exists():
        raise Conflict(_("This user name is taken."))
    user = User.objects.create_user(username=username, email=email, password=password)
    record(principal=principal, action="tenants.user.create", target=ObjectRef.of(user))
    return user


def _within_tenant(username: str, tenant_id: UUID) -> str:
    ending = f"@{Tenant.objects.only('slug').get(pk=tenant_id).slug}"
    return username if username.endswith(ending) else f"{username}{ending}"


@transaction.atomic
def add_membership(*, principal: Principal, user: User, tenant_id: UUID, role: Role) -> Membership:
    """Give a person (or service account) a role in a tenant for good; doing it twice changes nothing."""
    require(principal, "tenants.membership.manage", tenant_id=tenant_id)
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    if role not in ROLES_BY_KIND[Tenant.Kind(tenant.kind)]:
        raise InvalidInput(
            _("The role %(role)s does not exist in a tenant of this kind.") % {"role": role.value},
            hint=_("Roles here: %(roles)s.")
            % {"roles": ", ".join(sorted(ROLES_BY_KIND[Tenant.Kind(tenant.kind)]))},
        )
    membership, created = Membership.objects.select_for_update(of=("self",)).get_or_create(
        user=user, tenant=tenant, role=role
    )
    # An elevated role that is given for good: it must not go with the elevation.
    elevated = membership.expires_at is not None
    if elevated:
        membership.expires_at = None
        membership.save(update_fields=["expires_at"])
    if created or elevated:
        record(
            principal=principal,
            action="tenants.membership.add",
            target=ObjectRef.of(user),
            tenant_id=tenant.id,
            details={"role": role.value} | ({"was_elevated": True} if elevated else {}),
        )
    return membership


@transaction.atomic
def remove_membership(*, principal: Principal, membership_id: UUID, reason: str = "") -> None:
    """Take a role away; every process stops honouring it within a second.

    The last role in a tenant takes the account's grants on the tenant's objects and its tokens there along. Raises
    Conflict for the last administrator.
    """
    membership = Membership.objects.select_for_update(of=("self",)).filter(pk=membership_id).first()
    if membership is None:
        raise NotFound(_("There is no such membership."))
    require(principal, "tenants.membership.manage", membership)
    user, tenant_id = membership.user, membership.tenant_id
    if membership.expires_at is None:
        keep_an_administrator(tenant_id=tenant_id, role=membership.role, without=user.pk)
    membership.delete()
    gone = left(principal=principal, user=user, tenant_id=tenant_id)
    record(
        principal=principal,
        action="tenants.membership.remove",
        target=ObjectRef.of(user),
        tenant_id=tenant_id,
        reason=reason,
        details={"role": membership.role, **gone},
    )


@transaction.atomic
def set_user_active(*, principal: Principal, user_id: UUID, active: bool, reason: str = "") -> User:
    """Disable or enable an account. Disabled: sessions and tokens end within a second, and for good.

    Every tenant that the account belongs to reads of it in its own log. The last administrator of the platform cannot
    be disabled; that of another tenant can, for the platform can name a new one.
    """
    require(principal, "tenants.tenant.manage")
    with platform_scope():
        user = User.objects.select_for_update().filter(pk=user_id).first()
        if user is None:
            raise NotFound(_("There is no such user."))
        gone: dict[str, int] = {}
        if not active:
            keep_an_administrator(
                tenant_id=platform_tenant_id(), role=Role.PLATFORM_ADMIN.value, without=user.pk
            )
        user.is_active = active
        user.save(update_fields=["is_active"])
        if not active:
            gone = disabled(principal=principal, user=user)
        tenants = set(Membership.objects.filter(user=user).values_list("tenant_id", flat=True))
        for tenant_id in sorted(tenants | {principal.tenant_id or platform_tenant_id()}):
            record(
                principal=principal,
                action="tenants.user.enable" if active else "tenants.user.disable",
                target=ObjectRef.of(user),
                tenant_id=tenant_id,
                reason=reason,
                details=gone,
            )
    return user


@dataclass(frozen=True, slots=True)
class NewApplication:
    """An OAuth 2.0 client just made. The secret is stored only as a hash and can never be shown again."""

    application: Application
    client_secret: str


@transaction.atomic
def create_application(
    *,
    principal: Principal,
    name: str,
    scopes: Iterable[str],
    role: Role = Role.SERVICE,
    tenant_id: UUID | None = None,
    redirect_uris: Iterable[str] = (),
    public: bool = False,
    require_dpop: bool = False,
) -> NewApplication:
    """A confidential client of the client-credentials grant (RFC 6749 §4.4) in the principal's tenant.

    With the role `service` it has only the object grants that an administrator gives it; any other role must be one
    that the principal has. With `redirect_uris` it is a client of the authorisation-code grant instead, which acts for
    the people who allow it to; `public` says that it cannot keep a secret. With `require_dpop` it gets tokens that are
    bound to a key only (RFC 9449).
    """
    tenant = tenant_id or principal.tenant_id
    require(principal, "access.application.manage", tenant_id=tenant)
    if tenant is None:
        raise InvalidInput(_("Say which tenant the application belongs to."))
    wanted = sorted(set(scopes))
    if unknown := set(wanted) - set(SCOPES):
        raise InvalidInput(
            _("Unknown scopes: %(scopes)s.") % {"scopes": ", ".join(sorted(unknown))},
            hint=_("Known scopes: %(scopes)s.") % {"scopes": ", ".join(SCOPES)},
        )
    if not name.strip():
        raise InvalidInput(_("Give the application a name."))
    if role not in {Role.SERVICE, *principal.roles} and not principal.has_role(
        Role.PLATFORM_ADMIN, Role.SYSTEM
    ):
        raise InvalidInput(_("An application can only have the role “service” or one of your own."))
    addresses = checked_redirects(redirect_uris)
    check_personal_scopes(wanted, addresses)
    if public and not addresses:
        raise InvalidInput(_("Only a client that people allow to act for them can be without a secret."))
    secret = "" if public else secrets.token_urlsafe(32)
    service_user = User(username=f"client-{secrets.token_hex(8)}", is_service_account=True)
    service_user.set_unusable_password()
    service_user.save()
    Membership.objects.create(user=service_user, tenant_id=tenant, role=role)
    application = Application.objects.create(
        name=name.strip(),
        tenant_id=tenant,
        service_user=service_user,
        user_id=principal.accountable_user_id,
        client_type=Application.CLIENT_PUBLIC if public else Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE
        if addresses
        else Application.GRANT_CLIENT_CREDENTIALS,
        client_secret=secret,
        allowed_scopes=wanted,
        redirect_uris=" ".join(addresses),
        require_dpop=require_dpop,
    )
    record(
        principal=principal,
        action="access.application.create",
        target=ObjectRef.of(application),
        tenant_id=tenant,
        details={"scopes": wanted, "role": role.value, "require_dpop": require_dpop},
    )
    return NewApplication(application=application, client_secret=secret)


@transaction.atomic
def disable_application(*, principal: Principal, application_id: UUID, reason: str = "") -> Application:
    """Stop a client for good: its tokens are deleted and refused everywhere within a second."""
    application = Application.objects.select_for_update(of=("self",)).filter(pk=application_id).first()
    if application is None:
        raise NotFound(_("There is no such application."))
    require(principal, "access.application.manage", application)
    application.disabled_at = timezone.now()
    application.save(update_fields=["disabled_at"])
    get_access_token_model().objects.filter(application=application).delete()
    record(
        principal=principal,
        action="access.application.disable",
        target=ObjectRef.of(application),
        tenant_id=application.tenant_id,
        reason=reason,
    )
    return application


@transaction.atomic
def set_require_dpop(*, principal: Principal, application_id: UUID, required: bool) -> Application:
    """Give a client tokens that are bound to a key only, from now on, or both kinds again.

    When it becomes required, the client's bearer tokens are deleted: they would be what a thief looks for.
    """
    application = Application.objects.select_for_update(of=("self",)).filter(pk=application_id).first()
    if application is None:
        raise NotFound(_("There is no such application."))
    require(principal, "access.application.manage", application)
    if application.require_dpop == required:
        return application
    application.require_dpop = required
    application.save(update_fields=["require_dpop"])
    dropped = 0
    if required:
        bearer = get_access_token_model().objects.filter(application=application)
        bound = TokenBinding.objects.exclude(jkt="").exclude(access_token=None).values("access_token_id")
        dropped, _by_model = bearer.exclude(pk__in=bound).delete()
    record(
        principal=principal,
        action="access.application.require_dpop",
        target=ObjectRef.of(application),
        tenant_id=application.tenant_id,
        details={"required": required, "tokens_deleted": dropped},
    )
    return application


def record_refusal(denied: AccessDenied) -> None:
    """Keep a refusal in the audit log, in a transaction of its own: the refused one has been rolled back.

    Where the decision point had said yes, what the service refused for is the reason, such as an unmet obligation; the
    rules that said yes are not.
    """
    decision = denied.decision
    principal = decision.principal
    reasons, rules, helps = decision.reasons, decision.rules, decision.helps
    if decision.allow:
        reasons, rules, helps = (str(denied.message),), (denied.code,), (str(denied.hint),)
    with platform_scope(), transaction.atomic():
        record(
            principal=principal,
            action=decision.action,
            target=decision.target or ObjectRef(type="", id=""),
            tenant_id=principal.tenant_id or platform_tenant_id(),
            decision="deny",
            reason="; ".join(reasons),
            details={
                "policy_version": decision.policy_version,
                "rules": list(rules),
                "helps": [help_ for help_ in helps if help_],
            }
            | ({"obligations": list(decision.obligations)} if decision.obligations else {}),
        )
