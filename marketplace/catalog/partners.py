"""Becoming a partner: a person applies, the platform decides, a tenant of its own appears."""

from __future__ import annotations

import re
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.services import add_membership, create_person, create_tenant
from governance.audit.services import platform_tenant_id, record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import SYSTEM, Principal, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User
from marketplace.catalog.models import SLUG, Partner, PartnerApplication
from marketplace.catalog.states import APPLICATION_STATES

State = PartnerApplication.State


def apply_as_partner(
    *,
    principal: Principal,
    slug: str,
    name: str,
    website: str = "",
    contact_email: str = "",
    about: str = "",
    username: str = "",
    password: str = "",
    user: User | None = None,
) -> PartnerApplication:
    """A signed-in person (`user`), or a new one (`username`, `password`), asks to become a partner.

    The new account can do nothing until the platform accepts. Raises Conflict for a name that is taken or a second
    open application of one person; InvalidInput for missing or malformed fields.
    """
    require(principal, "catalog.application.apply")
    if not re.fullmatch(SLUG, slug) or len(slug) > 63:
        raise InvalidInput(
            _("“%(slug)s” is no short name.") % {"slug": slug},
            hint=_("Use up to 63 lower-case letters, digits and single hyphens."),
        )
    if not name.strip():
        raise InvalidInput(_("Give the name of your organisation."))
    # Nobody who applies belongs to a tenant that could see these rows, so the service looks with the platform's eyes.
    with platform_scope(), transaction.atomic():
        applicant = user or _account(username=username, password=password, email=contact_email)
        if Tenant.objects.filter(slug=slug).exists():
            raise Conflict(_("The short name “%(slug)s” is taken.") % {"slug": slug}, code="name-taken")
        try:
            with transaction.atomic():
                application = PartnerApplication.objects.create(
                    tenant_id=platform_tenant_id(),
                    applicant=applicant,
                    slug=slug,
                    name=name.strip(),
                    website=website,
                    contact_email=contact_email,
                    about=about,
                )
        except IntegrityError as error:
            raise Conflict(_("You have applied already; wait for the decision.")) from error
        record(
            principal=principal,
            action="catalog.application.apply",
            target=ObjectRef.of(application),
            tenant_id=application.tenant_id,
            details={"applicant": applicant.get_username()},
        )
    return application


def _account(*, username: str, password: str, email: str) -> User:
    if not username or not password:
        raise InvalidInput(_("Choose a user name and a password."))
    return create_person(principal=SYSTEM, username=username, password=password, email=email)


@transaction.atomic
def decide_application(
    *, principal: Principal, application_id: UUID, accept: bool, reason: str = ""
) -> PartnerApplication:
    """Accept (the partner's tenant, profile and the applicant's membership are made) or refuse with a reason.

    OAuth 2.0 clients are made by the partner, so that nobody else ever sees a secret.
    """
    rows = PartnerApplication.objects.select_for_update(of=("self",)).select_related("applicant")
    application = rows.filter(pk=application_id).first()
    if application is None:
        raise NotFound(_("There is no such application."))
    require(principal, "catalog.application.decide", application)
    if principal.accountable_user_id == application.applicant_id:
        raise Conflict(_("This is your own application, so somebody else must decide."), code="own-request")
    if not accept and not reason.strip():
        raise InvalidInput(_("Give a reason; the applicant will read it."))
    target = State.ACCEPTED if accept else State.REFUSED
    APPLICATION_STATES.check(application.state, target, principal.roles)
    if accept:
        tenant = create_tenant(
            principal=SYSTEM, slug=application.slug, name=application.name, kind=Tenant.Kind.PARTNER
        )
        add_membership(principal=SYSTEM, user=application.applicant, tenant_id=tenant.id, role=Role.PARTNER)
        application.partner = Partner.objects.create(
            tenant=tenant,
            slug=tenant.slug,
            display_name=application.name,
            website=application.website,
            contact_email=application.contact_email,
        )
    application.state = target
    application.decided_by_id = principal.accountable_user_id
    application.decided_at = timezone.now()
    application.reason = reason.strip()
    application.save()
    record(
        principal=principal,
        action=f"catalog.application.{target}",
        target=ObjectRef.of(application),
        tenant_id=application.tenant_id,
        reason=reason,
    )
    return application


@transaction.atomic
def verify_partner(*, principal: Principal, partner_id: UUID, verified: bool) -> Partner:
    """Say in the catalogue that the platform has checked who this partner is, or take it back."""
    partner = Partner.objects.select_for_update(of=("self",)).filter(pk=partner_id).first()
    if partner is None:
        raise NotFound(_("There is no such partner."))
    require(principal, "catalog.partner.verify", partner)
    partner.verified = verified
    partner.save(update_fields=["verified"])
    record(
        principal=principal,
        action="catalog.partner.verify" if verified else "catalog.partner.unverify",
        target=ObjectRef.of(partner),
        tenant_id=partner.tenant_id,
    )
    return partner
