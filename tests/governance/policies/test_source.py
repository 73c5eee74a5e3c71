"""Which policies are in force: asked once, forgotten when announced, never from somebody's open transaction."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from django.db import OperationalError, connection, transaction

from governance.access.broadcast import announce
from governance.access.decisions import decide
from governance.access.hub import hub
from governance.policies import services
from governance.policies.models import PolicyVersion
from governance.policies.source import DatabasePolicies, compose, policies
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.policies import NO_BATCH, acting, enact_policies, propose_policies

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def hearing():
    """The process's hub, connected for one test."""
    assert hub.start()
    yield
    hub.stop()


def ids(book) -> set[str]:
    return {policy.id for policy in book.policies}


def test_a_change_by_any_process_is_heard_of(author, second, superuser, hearing):
    other = DatabasePolicies()
    assert "no-batch" not in ids(other.book(author.tenant_id))
    version = enact_policies(author, second)
    _until(lambda: "no-batch" in ids(other.book(author.tenant_id)))
    # Raw SQL is announced by the trigger too.
    with superuser() as raw:
        raw.execute("UPDATE policies_policyversion SET state = 'retired' WHERE id = %s", [version.pk])
    _until(lambda: "no-batch" not in ids(other.book(author.tenant_id)))
    other.close()


def test_warm_answers_cost_no_query(author, second, hearing, monkeypatch):
    enact_policies(author, second)
    # Announcements come in order: once this one is heard, those of the change are behind us.
    heard: list[str] = []
    forget = hub.subscribe(lambda topic, key: heard.append(key))
    with acting(author):
        announce("event", "the last")
    _until(lambda: "the last" in heard)
    forget()
    policies.book(author.tenant_id)
    monkeypatch.setattr(policies, "_read", lambda tenant: pytest.fail("asked the database"))
    for _time in range(3):
        assert "no-batch" in ids(policies.book(author.tenant_id))


def test_nothing_is_believed_for_more_than_a_second_when_nobody_hears(author):
    assert not hub.connected
    known = policies._books
    clock = iter([0.0, 0.5, 1.1, 1.2])
    known._clock = lambda: next(clock)
    asked = []
    try:
        for _time in range(4):
            known.get(author.tenant_id, lambda: asked.append(1) or compose())
    finally:
        import time

        known._clock = time.monotonic
    assert len(asked) == 2


def test_what_is_not_committed_is_not_in_force(author, second):
    version = propose_policies(author)
    with pytest.raises(RuntimeError, match="changed my mind"), acting(second):
        services.activate(principal=second, version_id=version.id)
        policies.forget()
        assert decide(second, "serving.batch.create").allow
        raise RuntimeError("changed my mind")
    assert decide(author, "serving.batch.create").allow


def test_it_answers_on_an_event_loop_and_in_a_failed_transaction(author, second):
    enact_policies(author, second)

    async def ask() -> set[str]:
        policies.forget()
        return ids(policies.book(author.tenant_id))

    assert "no-batch" in asyncio.run(ask())
    with pytest.raises(Exception, match="division by zero"), acting(author), connection.cursor() as cursor:
        try:
            cursor.execute("SELECT 1/0")
        finally:
            policies.forget()
            assert "no-batch" in ids(policies.book(author.tenant_id))


def test_a_server_that_went_and_came_back_is_asked_again(author, superuser):
    policies.book(author.tenant_id)
    with superuser() as raw:
        raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'openclaw policies'"
        )
    policies.forget()
    assert "openclaw.device-must-comply" in ids(policies.book(author.tenant_id))


def test_without_the_database_nobody_is_let_in(author, monkeypatch):
    import psycopg

    def away(*_arguments, **_named):
        raise psycopg.OperationalError("the server is away")

    other = DatabasePolicies()
    monkeypatch.setattr("governance.policies.source.psycopg.connect", away)
    with pytest.raises(OperationalError, match="cannot be read"):
        other.book(author.tenant_id)


def test_a_forked_process_has_a_connection_of_its_own(author):
    policies.book(author.tenant_id)
    mine = policies._connection
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            fresh = policies._connection is None and policies._parents is mine
            os.write(writing, b"y" if fresh and policies.book(author.tenant_id).policies else b"n")
            policies.close()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"y"
    policies.forget()
    assert policies.book(author.tenant_id).policies
    assert policies._connection is mine


def test_a_text_in_force_that_cannot_be_read_forbids_everything_but_its_repair(
    platform, author, second, principal_for, superuser
):
    version = enact_policies(author, second)
    with superuser() as raw:
        raw.execute("SET session_replication_role = replica")
        raw.execute(
            "UPDATE policies_policyversion SET text = 'nonsense', digest = 'x' WHERE id = %s", [version.pk]
        )
    policies.forget()
    refused = decide(author, "tenants.membership.view")
    assert refused.rules == ("openclaw.policies-unreadable",)
    officer = principal_for(platform, Role.PLATFORM_ADMIN)
    assert decide(officer, "policies.version.propose", tenant_id=author.tenant_id).allow


def test_an_empty_text_leaves_the_products_rules(author, second):
    enact_policies(author, second)
    enact_policies(second, author, "")
    assert decide(author, "serving.batch.create").allow
    with platform_scope(), transaction.atomic():
        assert PolicyVersion.objects.get(state="active").text == ""
    assert NO_BATCH not in [policy.text for policy in policies.book(author.tenant_id).policies]


def _until(condition) -> None:
    import time

    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
