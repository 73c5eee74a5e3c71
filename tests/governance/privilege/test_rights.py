"""Every right is watched; what nobody used is proposed for removal; a removal is real and leaves an administrator."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.test import Client

from governance.access.decisions import decide
from governance.access.grants import give_grant, has_grant
from governance.access.recorder import recorder
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.principals import Role
from governance.privilege import removing, selectors
from governance.privilege.models import RemovalProposal, RightKind, RightUse
from governance.privilege.states import PROPOSAL_STATES
from governance.privilege.things import find_thing, used_types
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Membership, User
from tests.factories.governance import make_application
from tests.factories.inference import make_endpoint, make_version
from tests.states import assert_complete, assert_step, every_step

STEPS = {("open", "removed"), ("open", "kept"), ("open", "stale")}
INVOKE = "rollouts.invoke_endpoint"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("source", "target"), every_step(PROPOSAL_STATES))
def test_every_step(source, target):
    assert_step(PROPOSAL_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(PROPOSAL_STATES, RemovalProposal.State.values)


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


@pytest.fixture(autouse=True)
def fresh_recorder():
    recorder.forget()
    yield
    recorder.forget()


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def caller(principal_for, org, admin):
    """A person whose only way to an endpoint is a grant on it."""
    person = principal_for(org, Role.DEVELOPER)
    return replace(person, roles=frozenset({Role.SERVICE}))


@pytest.fixture
def endpoint(admin):
    with acting(admin):
        return make_endpoint(admin, version=make_version(admin))


@pytest.fixture
def granted(caller, endpoint):
    with platform_scope(), transaction.atomic():
        give_grant(user=User.objects.get(pk=caller.user_id), permission=INVOKE, target=endpoint)
    return endpoint


def invoke(caller, endpoint):
    target = ObjectRef("rollouts.endpoint", str(endpoint.id), label=endpoint.name)
    with acting(caller):
        return decide(caller, "rollouts.endpoint.invoke", target, tenant_id=caller.tenant_id, enforced=True)


def uses(name) -> list[int]:
    with platform_scope(), transaction.atomic():
        return list(RightUse.objects.filter(name=name).values_list("count", flat=True))


def test_use_of_a_grant_and_of_a_role_is_counted_and_a_refusal_is_not(caller, granted, admin):
    for _ in range(3):
        assert invoke(caller, granted).allow
    assert not decide(caller, "rollouts.endpoint.split", tenant_id=caller.tenant_id).allow
    recorder.flush()
    assert invoke(caller, granted).allow
    recorder.flush()
    assert uses(INVOKE) == [4]
    with acting(admin):
        right = next(r for r in selectors.rights(admin.tenant_id) if r.kind == RightKind.GRANT)
    assert (right.name, right.count, right.object_label) == (INVOKE, 4, str(granted))
    assert right.last_used_at is not None


def test_an_account_that_is_gone_takes_nothing_else_with_it(caller, granted, admin):
    gone = replace(caller, user_id=caller.tenant_id)
    recorder.note(replace(invoke(caller, granted), principal=gone), {}, enforced=True)
    recorder.flush()
    assert uses(INVOKE) == [1]


def aged(days: int) -> None:
    with platform_scope(), transaction.atomic():
        RightUse.objects.update(first_seen_at=F("first_seen_at") - timedelta(days=days))
        RightUse.objects.exclude(last_used_at=None).update(
            last_used_at=F("last_used_at") - timedelta(days=days)
        )


def proposed(admin) -> set[tuple[str, str]]:
    with acting(admin):
        return {(p.account.username, p.name) for p in selectors.open_proposals(admin.tenant_id)}


def test_a_right_is_watched_first_and_proposed_only_when_its_time_is_over(caller, granted, admin):
    assert removing.propose_removals() == 0, "a fresh installation proposes nothing"
    aged(89)
    assert removing.propose_removals() == 0
    aged(2)
    assert invoke(caller, granted).allow
    recorder.flush()
    removing.propose_removals()
    names = {name for _who, name in proposed(admin)}
    assert INVOKE not in names, "it was used"
    assert "developer" in names
    assert removing.propose_removals() == 0, "once is enough"
    aged(100)
    removing.propose_removals()
    assert INVOKE in {name for _who, name in proposed(admin)}
    assert invoke(caller, granted).allow
    recorder.flush()
    removing.propose_removals()
    assert INVOKE not in {name for _who, name in proposed(admin)}, "used again: the proposal goes away"


def test_a_proposal_is_decided_once_and_a_kept_right_is_left_alone(caller, granted, admin):
    removing.propose_removals()
    aged(100)
    removing.propose_removals()
    with acting(admin):
        rows = {p.name: p for p in selectors.open_proposals(admin.tenant_id)}
        with pytest.raises(InvalidInput):
            removing.decide_proposal(principal=admin, proposal_id=rows[INVOKE].id, remove=True, reason="")
        removing.decide_proposal(principal=admin, proposal_id=rows[INVOKE].id, remove=True, reason="unused")
        removing.decide_proposal(
            principal=admin, proposal_id=rows["developer"].id, remove=False, reason="leave"
        )
        with pytest.raises(Conflict):
            removing.decide_proposal(
                principal=admin, proposal_id=rows[INVOKE].id, remove=True, reason="again"
            )
    assert not invoke(caller, granted).allow
    removing.propose_removals()
    assert {name for _who, name in proposed(admin)}.isdisjoint({INVOKE, "developer"})


def test_the_last_administrator_cannot_be_removed_and_a_stranger_removes_nothing(
    admin, caller, granted, other_org, principal_for, org
):
    def remove(who, **changes):
        given = {
            "tenant_id": org.id,
            "account_id": admin.user_id,
            "kind": RightKind.ROLE,
            "name": "tenant_admin",
            "reason": "review",
        } | changes
        with acting(who):
            removing.remove_right(principal=who, **given)

    with pytest.raises(Conflict, match="last administrator"):
        remove(admin)
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with pytest.raises(AccessDenied):
        remove(stranger)
    with pytest.raises(NotFound):
        remove(stranger, tenant_id=other_org.id, account_id=caller.user_id, name="developer")
    with pytest.raises(NotFound):
        remove(admin, account_id=caller.user_id, name="data_scientist")
    second = principal_for(org, Role.TENANT_ADMIN)
    remove(second)
    with platform_scope(), transaction.atomic():
        assert not Membership.objects.filter(user_id=admin.user_id).exists()
    remove(
        second,
        account_id=caller.user_id,
        kind=RightKind.GRANT,
        name=INVOKE,
        object_id=str(granted.id),
    )
    assert not has_grant(user_id=caller.user_id, permission=INVOKE, object_id=str(granted.id))
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="privilege.right.remove").count() == 2


@pytest.mark.usefixtures("valkey")
def test_the_review_by_person_and_by_thing(admin, caller, granted, other_org, principal_for):
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    browser = Client()
    browser.force_login(
        User.objects.get(pk=admin.user_id), backend="django.contrib.auth.backends.ModelBackend"
    )
    page = browser.get("/console/privilege/").content.decode()
    assert caller.label in page
    assert str(granted) in page
    assert stranger.label not in page
    by_thing = browser.get(f"/console/privilege/?object={granted.id}").content.decode()
    assert caller.label in by_thing
    assert "tenant_admin</code>" not in by_thing
    rows = browser.get(f"/api/v1/access-review/?object={granted.id}").json()
    assert [row["account"] for row in rows] == [caller.label]
    bad = browser.get("/api/v1/access-review/?account=nonsense")
    assert bad.status_code == 400
    taken = browser.post(
        "/api/v1/access-review/",
        {
            "account_id": str(caller.user_id),
            "kind": "grant",
            "name": INVOKE,
            "object_id": str(granted.id),
            "reason": "not needed",
        },
        content_type="application/json",
    )
    assert taken.status_code == 204
    assert not invoke(caller, granted).allow


@pytest.fixture
def shared(caller, granted, other_org, principal_for):
    """The granted caller is a member of a second tenant, too; that tenant's administrator."""
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user_id=caller.user_id, tenant=other_org, role=Role.DEVELOPER)
    return principal_for(other_org, Role.TENANT_ADMIN)


@pytest.mark.usefixtures("valkey")
def test_a_grant_of_another_tenant_is_neither_told_nor_taken(caller, granted, shared, other_org, admin):
    with acting(shared):
        assert [r.name for r in selectors.rights(other_org.id, account_ids=[caller.user_id])] == ["developer"]
        assert selectors.rights(other_org.id, object_id=str(granted.id)) == []
        with pytest.raises(NotFound):
            removing.remove_right(
                principal=shared,
                tenant_id=other_org.id,
                account_id=caller.user_id,
                kind=RightKind.GRANT,
                name=INVOKE,
                object_id=str(granted.id),
                reason="not ours",
            )
    browser = Client()
    browser.force_login(
        User.objects.get(pk=shared.user_id), backend="django.contrib.auth.backends.ModelBackend"
    )
    for path in ("/console/privilege/", "/api/v1/access-review/"):
        said = browser.get(path).content.decode()
        assert caller.label in said
        assert INVOKE not in said
        assert str(granted.id) not in said
    assert has_grant(user_id=caller.user_id, permission=INVOKE, object_id=str(granted.id))
    with acting(admin):
        assert INVOKE in {right.name for right in selectors.rights(admin.tenant_id)}


def test_a_grant_of_another_tenant_is_not_proposed_for_removal(caller, granted, shared, admin):
    removing.propose_removals()
    aged(100)
    removing.propose_removals()
    assert INVOKE not in {name for _who, name in proposed(shared)}
    assert INVOKE in {name for _who, name in proposed(admin)}


def test_the_platforms_view_of_a_tenant_has_that_tenants_grants_only(caller, granted, shared, other_org):
    with platform_scope(), transaction.atomic():
        assert INVOKE not in {right.name for right in selectors.rights(other_org.id)}
        assert INVOKE in {right.name for right in selectors.rights(caller.tenant_id)}


def test_what_is_used_is_known_from_the_actions():
    assert set(used_types()) == {"rollouts.endpoint", "library.skill", "data.dataset"}


@pytest.mark.usefixtures("valkey")
def test_who_may_use_a_thing_by_grant_or_by_role(
    admin, caller, granted, other_org, principal_for, org, capsys
):
    program, _secret = make_application(org, scopes=["models:infer"])
    auditor = principal_for(org, Role.SERVICE)
    key = f"rollouts.endpoint:{granted.id}"
    with acting(admin):
        found = {
            (right.account.username, right.name)
            for right in selectors.rights(admin.tenant_id, thing=find_thing(admin.tenant_id, key))
        }
    assert found == {(admin.label, "tenant_admin"), (caller.label, "developer"), (caller.label, INVOKE)}
    assert auditor.label not in {name for name, _right in found}
    assert program.service_user.username not in {name for name, _right in found}
    browser = Client()
    browser.force_login(
        User.objects.get(pk=admin.user_id), backend="django.contrib.auth.backends.ModelBackend"
    )
    page = browser.get("/console/privilege/", {"thing": key})
    assert f"Who may use “{granted}”" in page.content.decode()
    assert f'value="{key}" selected' in page.content.decode()
    assert "tenant_admin</code>" in page.content.decode()
    assert f"?thing={key}" in browser.get(f"/console/endpoints/{granted.id}/").content.decode()
    rows = browser.get("/api/v1/access-review/", {"thing": key}).json()
    assert {(row["account"], row["name"]) for row in rows} == found
    for wrong, status in (
        ("nonsense", 400),
        ("rollouts.endpoint:x", 404),
        (f"data.dataset:{granted.id}", 404),
    ):
        assert browser.get("/api/v1/access-review/", {"thing": wrong}).status_code == status
    call_command("privilege", "review", "--tenant", org.slug, "--thing", key)
    assert f"{caller.label}: {INVOKE}" in capsys.readouterr().out
    with pytest.raises(NotFound), platform_scope(), transaction.atomic():
        find_thing(other_org.id, key)
