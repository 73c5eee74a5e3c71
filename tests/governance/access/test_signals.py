"""Signals: what a session and a token tell about how sure we are, and what it costs when something changed."""

import time

import pytest
from django.contrib.auth import authenticate
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from governance.access import attempts
from governance.access.assurance import assurance
from governance.access.network import client_address, client_digest, network_digest
from governance.access.rates import RateWatch, program, session_of, tokens_of
from governance.access.signals import SESSION_FACTOR, remember_factor, session_signals
from governance.principals import Factor, Principal, Role
from tests.factories.governance import PASSWORD

pytestmark = pytest.mark.usefixtures("valkey")
HOME = {"REMOTE_ADDR": "192.0.2.10", "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0"}


class Person:
    is_authenticated = True

    def __init__(self, name="anna"):
        self._name = name

    def get_username(self):
        return self._name


def request_from(session, **meta):
    request = RequestFactory().get("/", **(HOME | meta))
    request.session = session
    request.user = Person()
    return request


@pytest.fixture
def session():
    kept = {}
    remember_factor(request_from(kept), Factor.OTP)
    return kept


def level(signals):
    return assurance(Principal(kind="user", id="1", label="anna", signals=signals)).level


@pytest.mark.django_db
class TestSessions:
    def test_the_same_place_changes_nothing(self, session):
        signals = session_signals(request_from(session, REMOTE_ADDR="192.0.2.200"))
        assert (signals.factor, signals.network_changed_at, signals.client_changed_at) == (Factor.OTP, 0, 0)
        assert level(signals) == 2

    def test_an_updated_browser_is_the_same_browser(self, session):
        newer = HOME["HTTP_USER_AGENT"].replace("131.0", "132.0.1")
        assert session_signals(request_from(session, HTTP_USER_AGENT=newer)).client_changed_at == 0

    @pytest.mark.parametrize(
        ("field", "meta"),
        [
            ("network_changed_at", {"REMOTE_ADDR": "198.51.100.1"}),
            ("network_changed_at", {"REMOTE_ADDR": "2001:db8::1"}),
            ("client_changed_at", {"HTTP_USER_AGENT": "curl/8.5.0"}),
            ("client_changed_at", {"HTTP_USER_AGENT": ""}),
        ],
    )
    def test_another_place_costs_a_level_until_the_factor_is_shown_again(self, session, field, meta):
        first = getattr(session_signals(request_from(session, **meta)), field)
        assert first >= session[SESSION_FACTOR]["at"]
        # Going back does not undo it, and the time stays that of the first change.
        back = session_signals(request_from(session))
        assert getattr(back, field) == first
        assert level(back) == 1
        remember_factor(request_from(session, **meta), Factor.PASSKEY)
        assert level(session_signals(request_from(session, **meta))) == 3

    def test_a_session_keeps_digests_and_no_address(self, session):
        text = str(session)
        assert "192.0.2" not in text
        assert "Firefox" not in text

    def test_failed_attempts_count_from_the_last_factor_on(self, session):
        for _attempt in range(attempts.KEPT + 5):
            authenticate(RequestFactory().post("/"), username="Anna", password="guess")
        signals = session_signals(request_from(session))
        assert signals.failed_attempts == attempts.KEPT
        assert level(signals) == 1
        remember_factor(request_from(session), Factor.OTP)
        assert session_signals(request_from(session)).failed_attempts == 0

    def test_without_valkey_no_attempts_are_known_and_nothing_fails(self, session, monkeypatch, settings):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        attempts._client.cache_clear()
        monkeypatch.setattr(attempts, "_away_until", 0.0)
        try:
            attempts.note_failure("anna")
            assert session_signals(request_from(session)).failed_attempts == 0
        finally:
            attempts._client.cache_clear()


@pytest.mark.django_db(transaction=True)
def test_signing_in_with_a_password_is_one_factor(org, member):
    member(org, Role.DEVELOPER, username="anna")
    browser = Client()
    browser.post("/accounts/login/", {"username": "anna", "password": PASSWORD})
    kept = browser.session[SESSION_FACTOR]
    assert (kept["factor"], time.time() - kept["at"] < 60) == ("password", True)
    assert kept["network"] and kept["client"]


class TestAddresses:
    def test_nobody_is_believed_without_a_configured_proxy(self, settings):
        settings.TRUSTED_PROXIES = []
        assert client_address("127.0.0.1", "198.51.100.7") == "127.0.0.1"

    @pytest.mark.parametrize(
        ("remote", "forwarded", "client"),
        [
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.3", "10.0.0.1"),
            ("10.0.0.1", "[2001:db8::5]", "2001:db8::5"),
        ],
    )
    def test_the_first_address_from_the_right_that_is_no_proxy(self, settings, remote, forwarded, client):
        settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
        assert client_address(remote, forwarded) == client

    @given_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(forged=st.lists(st.ip_addresses().map(str), max_size=4), client=st.ip_addresses(v=4).map(str))
    def test_what_a_client_writes_itself_never_counts(self, settings, forged, client):
        settings.TRUSTED_PROXIES = ["10.0.0.1"]
        if client != "10.0.0.1":
            assert client_address("10.0.0.1", ", ".join([*forged, client])) == client

    def test_networks_are_compared_by_prefix(self):
        assert (
            network_digest("192.0.2.1") == network_digest("192.0.2.250") == network_digest("::ffff:192.0.2.9")
        )
        assert network_digest("192.0.2.1") != network_digest("192.0.3.1")
        assert network_digest("2001:db8::1") == network_digest("2001:db8::ffff:1")
        assert network_digest("2001:db8::1") != network_digest("2001:db8:0:1::1")
        assert network_digest("nowhere") == ""

    @given(st.text(max_size=2000))
    def test_any_user_agent_has_a_digest(self, text):
        assert len(client_digest(text)) == 32


class TestRates:
    class Clock:
        now = 1_000.0

        def __call__(self):
            return self.now

    def requests(self, watch, clock, account, per_second, windows):
        """What the watch says at the end of every window of a steady rate, told twice a second."""
        flagged = []
        for _window in range(windows):
            for _half in range(20):
                flag = watch.note(account, int(per_second / 2) or 1)
                clock.now += 0.5
            flagged.append(bool(flag))
        return flagged

    def test_far_above_the_accounts_own_mean_is_unusual_for_a_while(self):
        clock = self.Clock()
        watch = RateWatch(floor=10, factor=4, clock=clock)
        for _window in range(30):
            assert [watch.note("a") for _request in range(5)] == [0.0] * 5
            clock.now += 10
        flagged = [watch.note("a") for _request in range(25)]
        assert flagged[0] == 0.0
        assert flagged[-1] == clock.now
        assert watch.note("b") == 0.0
        clock.now += 599
        assert watch.note("a") > 0
        clock.now += 2
        assert watch.note("a") == 0.0

    def test_who_always_does_much_is_not_unusual(self):
        clock = self.Clock()
        watch = RateWatch(floor=10, factor=4, clock=clock)
        for window in range(60):
            flags = [watch.note("a") for _request in range(min(5 + window, 40))]
            clock.now += 10
        assert not any(flags)

    @pytest.mark.parametrize("start", [1_000.0, 1_003.3, 1_009.9])
    def test_a_program_may_begin_with_its_full_rate_and_keep_it(self, start):
        clock = self.Clock()
        clock.now = start
        assert not any(self.requests(RateWatch(clock=clock), clock, program("p"), 2_000, 60))

    def test_a_jump_is_unusual_once_and_then_the_new_rate_is_the_usual_one(self):
        clock = self.Clock()
        watch = RateWatch(clock=clock)
        assert not any(self.requests(watch, clock, program("p"), 1, 30))
        jumped = self.requests(watch, clock, program("p"), 1_000, 80)
        assert all(jumped[:60]), "the flag stands for ten minutes"
        assert not any(jumped[62:]), "and does not renew itself while the rate stays"

    def test_a_program_that_rests_between_its_runs_is_not_unusual(self):
        clock = self.Clock()
        watch = RateWatch(clock=clock)
        for _night in range(5):
            assert not any(self.requests(watch, clock, program("p"), 1_000, 20))
            clock.now += 12 * 3600

    def test_a_browser_is_judged_from_its_first_window(self):
        watch = RateWatch(clock=self.Clock())
        assert not watch.note(session_of("anna"), 1_000)
        assert watch.note(session_of("anna"))
        assert not watch.note(tokens_of("anna"), 5_000), "a program of hers is another matter"

    def test_memory_is_bounded(self):
        watch = RateWatch(max_accounts=3)
        for number in range(100):
            watch.note(str(number))
        assert len(watch._accounts) == 3
