"""A stop button stops what it covers and nothing else, at once, and takes two people to release."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from governance.access.decisions import decide
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, IllegalTransition, InvalidInput, NotFound
from governance.oversight import services
from governance.oversight.models import Stop
from governance.oversight.states import STOP_STATES
from governance.oversight.stops import StopBook, book
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import User
from tests.states import assert_complete, assert_step, every_step

STEPS = {("pressed", "releasing"), ("releasing", "released"), ("releasing", "pressed")}
pytestmark = pytest.mark.django_db(transaction=True)
ONE = ObjectRef("rollouts.endpoint", "01a20bb7-0000-7000-8000-000000000001", label="digits")
OTHER = ObjectRef("rollouts.endpoint", "01a20bb7-0000-7000-8000-000000000002", label="tumours")
NOTHING = ObjectRef("", "")
SKILL = ObjectRef("library.skill", "01a20bb7-0000-7000-8000-000000000003", label="summarise")


@pytest.mark.parametrize(("source", "target"), every_step(STOP_STATES))
def test_every_step(source, target):
    assert_step(STOP_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(STOP_STATES, Stop.State.values)


@pytest.fixture(autouse=True)
def read_anew():
    book.clear()
    yield
    book.clear()


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def developer(principal_for, org):
    return principal_for(org, Role.DEVELOPER)


@pytest.fixture
def officer(principal_for, platform):
    return principal_for(platform, Role.ETHICS_OFFICER)


def press(principal, scope, target=NOTHING, **changes):
    with acting(principal):
        return services.press_stop(
            principal=principal, scope=scope, target=target, **({"reason": "it hurts people"} | changes)
        )


def runs(principal, target) -> bool:
    action = "library.skill.invoke" if target.type == "library.skill" else "rollouts.endpoint.invoke"
    with acting(principal):
        return decide(principal, action, target, tenant_id=principal.tenant_id).allow


def test_a_stopped_endpoint_says_so_and_its_neighbours_run_on(developer, admin):
    assert runs(developer, ONE)
    stop = press(developer, "endpoint", ONE)
    assert not runs(developer, ONE)
    assert runs(developer, OTHER)
    assert runs(admin, SKILL)
    with acting(admin):
        decision = decide(admin, "rollouts.endpoint.invoke", ONE, tenant_id=admin.tenant_id)
    assert decision.rules == (f"stop.{stop.id}",)
    assert "it hurts people" in decision.reasons[0]
    assert decision.helps


def test_a_tenant_and_the_platform(developer, admin, officer, other_org, principal_for):
    neighbour = principal_for(other_org, Role.DEVELOPER)
    press(admin, "tenant")
    assert not runs(developer, ONE)
    assert not runs(admin, SKILL)
    assert runs(neighbour, ONE)
    press(officer, "platform")
    assert not runs(neighbour, ONE)


def test_two_people_release_and_asking_alone_releases_nothing(developer, admin, org, principal_for):
    stop = press(developer, "endpoint", ONE)
    with acting(admin), pytest.raises(InvalidInput):
        services.ask_release(principal=admin, stop_id=stop.id, reason="ok")
    with acting(admin), pytest.raises(IllegalTransition):
        services.release_stop(principal=admin, stop_id=stop.id)
    with acting(admin):
        services.ask_release(principal=admin, stop_id=stop.id, reason="the model was replaced")
    assert not runs(developer, ONE)
    with acting(admin), pytest.raises(AccessDenied, match="somebody else"):
        services.release_stop(principal=admin, stop_id=stop.id)
    with acting(admin), pytest.raises(IntegrityError), transaction.atomic():
        Stop.objects.update(released_by=admin.user_id)
    second = principal_for(org, Role.TENANT_ADMIN)
    with acting(second):
        services.release_stop(principal=second, stop_id=stop.id)
    assert runs(developer, ONE)
    with platform_scope(), transaction.atomic():
        actions = list(
            AuditEntry.objects.filter(action__startswith="oversight.stop.").values_list("action", flat=True)
        )
    assert sorted(actions) == ["oversight.stop.ask_release", "oversight.stop.press", "oversight.stop.release"]


def test_pressing_again_during_a_release_stops_it_and_pressing_twice_changes_nothing(developer, admin):
    stop = press(developer, "endpoint", ONE)
    assert press(admin, "endpoint", ONE).id == stop.id
    with acting(admin):
        services.ask_release(principal=admin, stop_id=stop.id, reason="the model was replaced")
    assert press(developer, "endpoint", ONE).state == "pressed"


@pytest.mark.parametrize(
    ("scope", "target", "changes", "error"),
    [
        ("endpoint", SKILL, {}, InvalidInput),
        ("endpoint", ObjectRef("", ""), {}, InvalidInput),
        ("world", ONE, {}, InvalidInput),
        ("skill", SKILL, {"reason": " "}, InvalidInput),
        ("tenant", ONE, {}, AccessDenied),
        ("platform", ONE, {}, AccessDenied),
    ],
)
def test_what_cannot_be_pressed(developer, scope, target, changes, error):
    with pytest.raises(error):
        press(developer, scope, target, **changes)
    assert runs(developer, ONE)


def test_another_tenant_neither_presses_nor_releases(developer, other_org, org, principal_for):
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with pytest.raises(AccessDenied):
        press(stranger, "tenant", tenant_id=org.id)
    stop = press(developer, "endpoint", ONE)
    with acting(stranger), pytest.raises(NotFound):
        services.ask_release(principal=stranger, stop_id=stop.id, reason="let it run, please")


def test_what_was_read_while_a_change_was_heard_of_is_read_again(developer):
    """The announcement that arrives during the query must not be overwritten by the query's older answer."""

    class Silent:
        max_age_s = 3600.0

        def subscribe_cache(self, forget):
            self.say = forget

    hub = Silent()
    kept = StopBook(hub)
    assert not list(kept.covering(developer.tenant_id, ONE.type, ONE.id))
    press(developer, "endpoint", ONE)
    assert not list(kept.covering(developer.tenant_id, ONE.type, ONE.id)), "believed until something is heard"
    hub.say("stop", "")
    assert list(kept.covering(developer.tenant_id, ONE.type, ONE.id))


@pytest.mark.usefixtures("valkey")
def test_the_pages_and_the_api(admin, developer, org, member, principal_for):
    def browser(principal):
        made = Client()
        made.force_login(
            User.objects.get(pk=principal.user_id), backend="django.contrib.auth.backends.ModelBackend"
        )
        return made

    hers, his = browser(developer), browser(admin)
    page = hers.get(f"/console/oversight/stops/?type={ONE.type}&id={ONE.id}&label=digits").content.decode()
    assert "Stop it now" in page
    assert "Stop my organisation" not in page
    pressed = hers.post(
        "/console/oversight/stops/press/",
        {"scope": "endpoint", "type": ONE.type, "id": ONE.id, "label": "digits", "reason": "wrong answers"},
        follow=True,
    ).content.decode()
    assert "wrong answers" in pressed
    assert not runs(developer, ONE)
    row = his.get("/api/v1/stops/?state=pressed").json()["results"][0]
    asked = his.post(
        f"/api/v1/stops/{row['id']}/ask-release/",
        {"reason": "the model was replaced"},
        content_type="application/json",
    )
    assert asked.json()["state"] == "releasing"
    refused = his.post(f"/api/v1/stops/{row['id']}/release/", content_type="application/json")
    assert refused.status_code == 403
    other = browser(principal_for(org, Role.TENANT_ADMIN))
    assert other.post(f"/api/v1/stops/{row['id']}/release/").json()["state"] == "released"
    assert runs(developer, ONE)
