"""What every way of signing in has in common: which factor was shown, and a session that is kept."""

from __future__ import annotations

from uuid import UUID

from allauth.account.internal.flows.login import get_authentication_records
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from governance.access.assurance import LEVELS
from governance.access.decisions import require
from governance.access.middleware import SESSION_TENANT, find_principal
from governance.access.principals import principal_for_user
from governance.access.requests import principal_of
from governance.access.signals import SESSION_FACTOR, remember_factor
from governance.identity.care import place_of
from governance.identity.selectors import FACTOR_OF_KIND, Kind
from governance.identity.services import sessions
from governance.principals import Factor, Principal
from governance.tenants.models import User

# Set on a request by the company's sign-in, when its provider said that it had asked for a second factor.
PROVIDER_FACTOR = "openclaw_provider_factor"


def person_of(request: HttpRequest) -> User:
    """The signed-in person. Raises AccessDenied where nobody is signed in, which pages answer with the sign-in page."""
    require(principal_of(request), "access.principal.view")
    user = request.user
    assert isinstance(user, User)
    return user


def factor_now(request: HttpRequest) -> Factor:
    """The factor that the session stands on."""
    kept = request.session.get(SESSION_FACTOR)
    return Factor(kept["factor"]) if isinstance(kept, dict) else Factor.NONE


def begun(request: HttpRequest, user: User) -> None:
    """A sign-in is complete: remember its strongest factor, and keep the session."""
    factor = _strongest(request, user)
    if factor is not Factor.NONE:
        remember_factor(request, factor)
    sessions.begin(
        principal=_principal(request, user),
        user=user,
        session=request.session,
        factor=factor_now(request),
        place=place_of(request),
    )


def proven(request: HttpRequest, factor: Factor, *, reason: str) -> None:
    """The person has just shown a factor again, or set up a new one: a fresh start with a new session key."""
    remember_factor(request, factor)
    sessions.prove(
        principal=principal_of(request),
        user=person_of(request),
        session=request.session,
        factor=factor,
        reason=reason,
    )


def ended(request: HttpRequest, user: User, *, reason: str) -> None:
    """The present session is about to be emptied."""
    sessions.end_present(principal=_principal(request, user), session=request.session, reason=reason)


def expire(request: HttpRequest, *, reason: str) -> None:
    """End the present session, which rested or lasted too long; from now on the request is nobody's."""
    user = request.user
    if isinstance(user, User):
        ended(request, user, reason=reason)
    request.session.flush()
    request.user = AnonymousUser()
    request.principal = find_principal(request)  # type: ignore[attr-defined]


def _principal(request: HttpRequest, user: User) -> Principal:
    chosen = request.session.get(SESSION_TENANT)
    found = principal_for_user(user, tenant_id=UUID(chosen) if chosen else None)
    if found.is_authenticated:
        return found
    # Somebody without a role anywhere: the platform's chain tells who it was.
    return Principal(kind="user", id=str(user.pk), label=user.get_username(), user_id=user.pk)


def _strongest(request: HttpRequest, user: User) -> Factor:
    found = [Factor.NONE]
    for record in get_authentication_records(request, user):
        match record.get("method"):
            case "password":
                found.append(Factor.PASSWORD)
            case "mfa":
                found.append(FACTOR_OF_KIND[Kind(record["type"])])
            case "socialaccount":
                found.append(getattr(request, PROVIDER_FACTOR, Factor.FEDERATED))
    return max(found, key=lambda factor: LEVELS[factor])
