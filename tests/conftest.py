"""Fixtures of the whole suite: real services, the three kinds of tenant, principals of every role."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.services import TestServices

if TYPE_CHECKING:
    from django.http import HttpRequest

    from governance.principals import Principal, Role
    from governance.tenants.models import Tenant, User

_services = pytest.StashKey[TestServices]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-permissions", action="store_true", help="write the endpoint × role table anew")
    parser.addoption("--write-query-counts", action="store_true", help="write the query counts anew")


def pytest_configure(config: pytest.Config) -> None:
    """Before Django's settings are read: point them at this run's own services."""
    services = TestServices()
    os.environ.update(services.environment())
    from django.conf import settings

    assert settings.SECRET_KEY  # loads them; pytest-django sets Django up after this hook
    from governance.access.recorder import recorder

    recorder.background = False  # its thread would not see a test's transaction
    config.stash[_services] = services
    _hash_passwords_cheaply()
    _prove_forced_logins()


def _hash_passwords_cheaply() -> None:
    """The product's own hasher at its lowest cost: nobody attacks these passwords, and every test makes people."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    Argon2PasswordHasher.time_cost = 1
    Argon2PasswordHasher.memory_cost = 8
    Argon2PasswordHasher.parallelism = 1


def _prove_forced_logins() -> None:
    """`Client.force_login` shows no factor, so it counts as a passkey just used."""
    from django.contrib.auth.signals import user_logged_in

    from governance.access.signals import remember_factor
    from governance.principals import Factor

    def remember(request: HttpRequest, **_kwargs: object) -> None:
        if "REQUEST_METHOD" not in request.META:
            remember_factor(request, Factor.PASSKEY)

    user_logged_in.connect(remember, weak=False)


def pytest_unconfigure(config: pytest.Config) -> None:
    if services := config.stash.get(_services, None):
        services.stop()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: what is not run is not known to work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> TestServices:
    """This run's PostgreSQL and Valkey; call `start_…` before use outside the fixtures below."""
    return request.config.stash[_services]


@pytest.fixture(scope="session")
def django_db_setup(services: TestServices) -> Iterator[None]:
    """Replaces pytest-django's: the app role cannot create a database, so the owner has made and migrated it."""
    services.start_postgres()
    services.start_valkey()
    from django.core.management import call_command
    from django.test import TransactionTestCase

    call_command("collectstatic", interactive=False, verbosity=0)

    def truncate(self: TransactionTestCase) -> None:
        services.truncate()

    # The app role may not TRUNCATE, which is what Django's own clean-up would do.
    original = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
    TransactionTestCase._fixture_teardown = truncate  # type: ignore[attr-defined]
    yield
    TransactionTestCase._fixture_teardown = original  # type: ignore[attr-defined]
    from django.db import connection

    connection.close()
    connection.close_pool()
    from governance.policies.source import policies

    policies.close()


@pytest.fixture(autouse=True)
def _policies_in_force(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Administrators' policies come from the database where a test has one; else the product's rules stand alone."""
    from governance.access.cedar import source
    from governance.access.recorder import recorder
    from governance.policies.source import policies
    from governance.tenants.context import RowScope, current_scope

    if not {"db", "transactional_db"} & {*request.fixturenames} and not request.node.get_closest_marker(
        "django_db"
    ):
        monkeypatch.setattr(source, "_source", source.ProductRulesOnly())
    policies.forget()
    yield
    assert current_scope() == RowScope(), "this test left its row scope behind"
    recorder.forget()


@pytest.fixture
def valkey(services: TestServices) -> None:
    """A running, empty Valkey."""
    services.start_valkey()
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def make_tenant(db: None) -> Callable[..., Tenant]:
    """A factory of tenants: `make_tenant("bank", kind="organisation")`."""
    from tests.factories.governance import make_tenant as make

    return make


@pytest.fixture
def platform(make_tenant: Callable[..., Tenant]) -> Tenant:
    """The platform's own tenant."""
    return make_tenant("platform", kind="platform")


@pytest.fixture
def org(platform: Tenant, make_tenant: Callable[..., Tenant]) -> Tenant:
    """An organisation that uses the platform."""
    return make_tenant("bank", kind="organisation")


@pytest.fixture
def other_org(platform: Tenant, make_tenant: Callable[..., Tenant]) -> Tenant:
    """A second organisation, which must never learn anything of the first."""
    return make_tenant("plant", kind="organisation")


@pytest.fixture
def partner_org(platform: Tenant, make_tenant: Callable[..., Tenant]) -> Tenant:
    """A partner who publishes plugins."""
    return make_tenant("acme", kind="partner")


@pytest.fixture
def member(db: None) -> Callable[..., User]:
    """A factory of people with roles in a tenant: `member(org, Role.TENANT_ADMIN)`."""
    from tests.factories.governance import make_member

    return make_member


@pytest.fixture
def principal_for(member: Callable[..., User]) -> Callable[..., Principal]:
    """A fresh person's principal: `principal_for(org, Role.TENANT_ADMIN)`."""
    from governance.access.principals import principal_for_user
    from tests.factories.governance import proven

    def build(tenant: Tenant, *roles: Role) -> Principal:
        return principal_for_user(member(tenant, *roles), tenant_id=tenant.id, signals=proven())

    return build
