"""The decision point: deny by default, and every way to a yes."""

from dataclasses import replace

import pytest

from governance.access.decisions import ActionRule, decide, register, registered_actions, require
from governance.access.grants import give_grant, take_grant
from governance.errors import AccessDenied
from governance.ids import uuid7
from governance.principals import ANONYMOUS, SYSTEM, Principal, Role
from governance.refs import ObjectRef

TENANT, OTHER = uuid7(), uuid7()
DEVELOPER = Principal(
    kind="user", id="1", label="dev", tenant_id=TENANT, roles=frozenset({Role.DEVELOPER}), user_id=uuid7()
)


@pytest.fixture(autouse=True)
def rules(monkeypatch):
    monkeypatch.setattr("governance.access.rules._rules", dict(registered_actions()))
    register(
        ActionRule("test.thing.use", roles={Role.DEVELOPER, Role.REVIEWER}, scopes={"models:infer"}),
        ActionRule("test.thing.read", anonymous=True),
        ActionRule("test.thing.browse", roles={Role.DEVELOPER}, cross_tenant=True),
    )


def test_an_action_without_a_rule_is_refused_even_to_the_system():
    assert not decide(SYSTEM, "test.thing.unheard-of").allow


def test_a_role_acts_in_its_own_tenant_only():
    assert decide(DEVELOPER, "test.thing.use").allow
    assert decide(DEVELOPER, "test.thing.use", ObjectRef("test.thing", "1"), tenant_id=TENANT).allow
    assert not decide(DEVELOPER, "test.thing.use", ObjectRef("test.thing", "1"), tenant_id=OTHER).allow
    assert decide(DEVELOPER, "test.thing.browse", ObjectRef("test.thing", "1"), tenant_id=OTHER).allow


def test_a_platform_role_acts_across_tenants():
    reviewer = replace(DEVELOPER, roles=frozenset({Role.REVIEWER}), platform=True)
    assert decide(reviewer, "test.thing.use", ObjectRef("test.thing", "1"), tenant_id=OTHER).allow


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [(None, True), ({"models:infer"}, True), ({"models:read"}, False), (set(), False)],
)
def test_a_token_can_only_narrow(scopes, allowed):
    limited = replace(DEVELOPER, scopes=None if scopes is None else frozenset(scopes))
    assert decide(limited, "test.thing.use").allow is allowed


def test_no_token_reaches_an_action_without_scopes():
    assert not decide(replace(DEVELOPER, scopes=frozenset({"models:infer"})), "test.thing.browse").allow


def test_anonymous_reads_only_what_is_open_to_everybody():
    assert decide(ANONYMOUS, "test.thing.read").allow
    assert not decide(ANONYMOUS, "test.thing.use").allow


def test_require_raises_with_the_decision():
    with pytest.raises(AccessDenied) as refused:
        require(ANONYMOUS, "test.thing.use")
    assert refused.value.decision.reasons == ("not signed in",)
    assert refused.value.decision.policy_version


def test_two_rules_for_one_action_are_a_mistake():
    with pytest.raises(ValueError, match="registered twice"):
        register(ActionRule("test.thing.use", roles={Role.PARTNER}))


@pytest.mark.django_db
def test_a_grant_opens_exactly_one_object(org, member):
    register(ActionRule("test.tenant.call", scopes={"models:infer"}, grant="tenants.view_tenant"))
    user = member(org, Role.SERVICE)
    client = Principal(
        kind="client",
        id="c",
        label="c",
        tenant_id=org.id,
        roles=frozenset({Role.SERVICE}),
        scopes=frozenset({"models:infer"}),
        user_id=user.id,
    )
    target = ObjectRef("tenants.tenant", str(org.id))
    assert not decide(client, "test.tenant.call", target, tenant_id=org.id).allow
    give_grant(user=user, permission="tenants.view_tenant", target=org)
    assert decide(client, "test.tenant.call", target, tenant_id=org.id).allow
    assert not decide(
        client, "test.tenant.call", ObjectRef("tenants.tenant", str(uuid7())), tenant_id=org.id
    ).allow
    assert not decide(client, "test.tenant.call", target, tenant_id=OTHER).allow
    take_grant(user=user, permission="tenants.view_tenant", target=org)
    assert not decide(client, "test.tenant.call", target, tenant_id=org.id).allow
