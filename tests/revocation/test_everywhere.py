"""What is taken away is honoured nowhere any more: not by a page, an API, the hot route, a socket or a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from oauth2_provider.models import get_access_token_model

from governance.access.services import disable_application, set_user_active, suspend_tenant
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership
from marketplace.catalog.services import block_version
from tests.revocation.harness import Credential, House, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

Revoke = Callable[[House, Credential], None]


def disable_user(house: House, credential: Credential) -> None:
    set_user_active(principal=SYSTEM, user_id=credential.user.id, active=False)


def remove_role(house: House, credential: Credential) -> None:
    Membership.objects.filter(user=credential.user).delete()


def suspend(house: House, credential: Credential) -> None:
    suspend_tenant(principal=SYSTEM, tenant_id=house.tenant.id, reason="test")


def end_sessions(house: House, credential: Credential) -> None:
    Session.objects.all().delete()


def revoke_token(house: House, credential: Credential) -> None:
    get_access_token_model().objects.filter(application=credential.application).delete()


def disable_program(house: House, credential: Credential) -> None:
    assert credential.application is not None
    disable_application(principal=SYSTEM, application_id=credential.application.id)


def remove_grants(house: House, credential: Credential) -> None:
    from inference.rollouts.services import revoke_invoke

    assert credential.application is not None
    with tenant_context(house.tenant.id):
        for endpoint in (house.endpoint, house.slow):
            revoke_invoke(
                principal=house.principal,
                endpoint_id=endpoint.id,
                application_id=credential.application.id,
            )


def block_plugin(house: House, credential: Credential) -> None:
    """The plugin that brought the models is blocked, for every tenant that installed it."""
    block_version(principal=house.platform_principal, version_id=house.plugin().id, reason="test")


@pytest.fixture
def person(house: House) -> Iterator[Credential]:
    credential = house.developer()
    yield credential
    credential.end()


@pytest.fixture
def program(house: House) -> Iterator[Credential]:
    credential = house.program()
    yield credential
    credential.end()


def revoked_everywhere(
    house: House, credential: Credential, revoke: Revoke, *, spared: tuple[str, ...] = ()
) -> None:
    faces = credential.faces()
    assert {name: ask() for name, ask in faces.items()} == dict.fromkeys(faces, True)
    with platform_scope(), transaction.atomic():
        revoke(house, credential)
    for name, ask in faces.items():
        if not name.startswith(spared or ("nothing",)):
            until(lambda ask=ask: not ask(), f"{name} to refuse")  # type: ignore[misc]
    for name, ask in faces.items():
        assert ask() is name.startswith(spared or ("nothing",)), name


@pytest.mark.parametrize("revoke", [disable_user, remove_role, suspend])
def test_a_person_is_refused_everywhere(house: House, person: Credential, revoke: Revoke) -> None:
    revoked_everywhere(house, person, revoke)
    job = person.job()
    assert job["state"] == "cancelled"
    assert job["error"], "the job says why it ended"


def test_a_session_that_ended_opens_nothing_but_the_persons_work_goes_on(
    house: House, person: Credential
) -> None:
    revoked_everywhere(house, person, end_sessions, spared=("job",))


@pytest.mark.parametrize("revoke", [disable_program, suspend])
def test_a_program_is_refused_everywhere(house: House, program: Credential, revoke: Revoke) -> None:
    revoked_everywhere(house, program, revoke)
    assert program.job()["state"] == "cancelled"


def test_a_token_that_was_revoked_opens_nothing_but_the_programs_work_goes_on(
    house: House, program: Credential
) -> None:
    revoked_everywhere(house, program, revoke_token, spared=("job",))


def test_a_grant_that_was_removed_ends_what_rested_on_it(house: House, program: Credential) -> None:
    """Seeing one's own jobs needs no grant; calling the endpoint and going on computing does."""
    revoked_everywhere(house, program, remove_grants, spared=("REST",))
    assert "grant" in program.job()["error"]


def test_a_plugin_that_was_blocked_answers_nowhere_and_its_running_job_ends(
    house: House, program: Credential
) -> None:
    """Seeing the job, and why it ended, stays."""
    revoked_everywhere(house, program, block_plugin, spared=("REST",))
    assert program.job()["state"] == "failed"
    assert "out of service" in program.job()["error"]


@pytest.mark.parametrize(("who", "revoke"), [("person", disable_user), ("program", disable_program)])
def test_while_nobody_hears_of_changes_they_are_obeyed_all_the_same(
    house: House, who: str, revoke: Revoke, request: pytest.FixtureRequest
) -> None:
    site = house.site
    credential = request.getfixturevalue(who)
    with site.deaf():
        for url in site.urls:
            until(lambda url=url: "not heard of" in site.parts(url)["changes"], f"{url} to say so")  # type: ignore[misc]
        revoked_everywhere(house, credential, revoke)
    for url in site.urls:
        until(lambda url=url: site.parts(url)["changes"] == "ok", f"{url} to hear again")  # type: ignore[misc]
