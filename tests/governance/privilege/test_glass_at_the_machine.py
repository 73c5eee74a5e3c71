"""Breaking the glass at the machine: a person with password and code, the same rules, the same alarm."""

from __future__ import annotations

from io import StringIO

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.identity.mfa import owned_by
from governance.principals import Role
from governance.privilege import selectors
from governance.privilege.models import BreakGlassHolder
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership
from tests.factories.governance import PASSWORD
from tests.governance.identity.people import totp

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def dana(org, member):
    """Somebody with an app and recovery codes, who was named for emergencies."""
    person = member(org, Role.DEVELOPER, username="dana")
    member(org, Role.TENANT_ADMIN, username="boss")
    with platform_scope(), transaction.atomic():
        BreakGlassHolder.objects.create(tenant=org, person=person, role=Role.TENANT_ADMIN.value)
        with owned_by(person.pk):
            TOTP.activate(person, SECRET)
            RecoveryCodes.activate(person)
    return person


def app_code() -> str:
    return totp(SECRET)


def recovery_code(person) -> str:
    with platform_scope(), transaction.atomic(), owned_by(person.pk):
        row = person.authenticator_set.get(type="recovery_codes")
        return row.wrap().get_unused_codes()[0]


@pytest.fixture
def smash(org, monkeypatch):
    def run(
        *typed: str, role: str = "tenant_admin", reason: str = "no browser reaches the site, pumps stand"
    ):
        monkeypatch.setattr("sys.stdin", StringIO("".join(f"{line}\n" for line in typed)))
        out = StringIO()
        arguments = (role, "--tenant", org.slug, "--as", "dana", "--reason", reason)
        call_command("break_glass", *arguments, stdout=out)
        return out.getvalue()

    return run


def roles_of(person):
    with platform_scope(), transaction.atomic():
        return set(Membership.in_force.filter(user=person).values_list("role", flat=True))


def entries(**wanted):
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(**wanted))


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_password_and_code_take_the_role_and_everybody_is_told(org, dana, smash, kind):
    told = smash(PASSWORD, app_code() if kind == "app" else recovery_code(dana))
    assert "dana is tenant_admin until" in told
    assert roles_of(dana) == {"developer", "tenant_admin"}
    with platform_scope(), transaction.atomic():
        (alarm,) = selectors.glass_alarms(tenant_id=org.id)
    assert str(alarm.id) in told
    (entry,) = entries(action="privilege.glass.break", decision="allow")
    assert (entry.actor_label, entry.reason) == ("dana", "no browser reaches the site, pumps stand")


@pytest.mark.parametrize("typed", [("a guess", "{code}"), (PASSWORD, "000000"), (PASSWORD, ""), (PASSWORD,)])
def test_one_factor_alone_breaks_nothing(dana, smash, typed):
    with pytest.raises(CommandError, match="not right"):
        smash(*(line.format(code=app_code()) for line in typed))
    assert roles_of(dana) == {"developer"}
    assert not entries(action="privilege.glass.break")
    assert len(entries(action="identity.factor.prove", decision="deny")) == (typed[0] == PASSWORD)


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_a_code_works_once(dana, smash, kind):
    code = app_code() if kind == "app" else recovery_code(dana)
    smash(PASSWORD, code)
    with pytest.raises(CommandError, match="not right"):
        smash(PASSWORD, code)


def test_guessing_codes_is_stopped(dana, smash):
    for _guess in range(5):
        with pytest.raises(CommandError, match="not right"):
            smash(PASSWORD, "000000")
    with pytest.raises(CommandError, match="too many"):
        smash(PASSWORD, app_code())


def test_who_was_not_named_breaks_nothing_and_that_is_kept(dana, smash):
    with pytest.raises(CommandError, match="not named for emergency access"):
        smash(PASSWORD, app_code(), role="data_scientist")
    assert roles_of(dana) == {"developer"}
    (entry,) = entries(action="privilege.glass.break")
    assert (entry.decision, entry.actor_label) == ("deny", "dana")
