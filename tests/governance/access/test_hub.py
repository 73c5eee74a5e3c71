"""The hub hears what is committed, survives the loss of its connection, and says what may be believed meanwhile."""

import os
import threading
import time

import psycopg
import pytest
from django.db import connection, transaction

from governance.access.broadcast import announce
from governance.access.hub import EVERYTHING, LISTENER_NAME, MAX_AGE_HEARD_S, MAX_AGE_UNHEARD_S, Hub
from governance.access.hub_caches import HeardCache

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]
DEADLINE_S = 20


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Line:
    """Parameters of a connection that a test can break and mend."""

    def __init__(self, services):
        self.dsn = services.postgres.app_url("test_openclaw")
        self.superuser_dsn = services.postgres.superuser_dsn
        self.broken = False

    def __call__(self):
        if self.broken:
            return {"host": "127.0.0.1", "port": 1}
        return psycopg.conninfo.conninfo_to_dict(self.dsn) | {"application_name": LISTENER_NAME}

    def cut(self):
        with psycopg.connect(self.superuser_dsn, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                [LISTENER_NAME],
            )


@pytest.fixture
def line(services):
    return Line(services)


@pytest.fixture
def hub(line):
    made = Hub(line)
    assert made.start(wait_s=DEADLINE_S)
    yield made
    made.stop()
    assert not made.connected


def test_what_is_committed_is_heard_and_what_is_rolled_back_is_not(hub):
    heard = []
    hub.subscribe(lambda topic, key: heard.append((topic, key)))
    with pytest.raises(RuntimeError), transaction.atomic():
        announce("stop", "rolled back")
        raise RuntimeError
    announce("stop", "kept")
    until(lambda: ("stop", "kept") in heard)
    assert heard == [("stop", "kept")]


def test_a_subscriber_that_fails_does_not_hide_the_change_from_the_others(hub):
    heard = threading.Event()

    def broken(topic, key):
        raise RuntimeError

    hub.subscribe(broken)
    hub.subscribe(lambda topic, key: heard.set())
    announce("asset", "1")
    assert heard.wait(DEADLINE_S)


def test_who_no_longer_subscribes_hears_no_more(hub):
    heard = []
    end = hub.subscribe(lambda topic, key: heard.append(topic))
    end()
    hub.dispatch("asset", "1")
    assert heard == []


def test_a_lost_connection_is_known_everything_is_doubted_and_it_comes_back(hub, line):
    heard, states = [], []
    hub.subscribe(lambda topic, key: heard.append(topic))
    hub.subscribe_state(states.append)
    assert (states, hub.max_age_s, hub.lost_at) == ([True], MAX_AGE_HEARD_S, None)
    line.broken = True
    line.cut()
    until(lambda: not hub.connected)
    assert hub.max_age_s == MAX_AGE_UNHEARD_S
    assert hub.lost_at is not None
    until(lambda: heard == [EVERYTHING])
    line.broken = False
    until(lambda: hub.connected)
    until(lambda: states == [True, False, True])
    until(lambda: heard == [EVERYTHING, EVERYTHING])


def test_a_hub_that_never_started_believes_for_a_second(line):
    assert not Hub(line).connected
    assert Hub(line).max_age_s == MAX_AGE_UNHEARD_S


def test_starting_twice_makes_one_connection_and_stopping_twice_is_harmless(hub, line):
    assert hub.start()
    with psycopg.connect(line.superuser_dsn) as superuser:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        assert superuser.execute(count, [LISTENER_NAME]).fetchone() == (1,)
    hub.stop()
    hub.stop()


def test_stopped_it_can_start_again(hub):
    hub.stop()
    until(lambda: not hub.connected)
    assert hub.start(wait_s=DEADLINE_S)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_believe_in_its_parents_connection(hub):
    """What Celery's children and a web server's workers do: the parent goes on, the child begins anew."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        hub.forget_parent()  # the site's own hub is registered for this
        inherited = hub.connected
        os.write(writer, b"believes" if inherited else b"again" if hub.start(wait_s=DEADLINE_S) else b"no")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 20) == b"again"
    os.close(reader)
    os.close(writer)
    heard = threading.Event()
    hub.subscribe(lambda topic, key: heard.set())
    announce("asset", "1")
    assert heard.wait(DEADLINE_S), "the parent's own connection is unharmed"


class TestCache:
    """What is remembered by `HeardCache`."""

    @pytest.fixture
    def loads(self):
        return []

    @pytest.fixture
    def load(self, loads):
        def load():
            loads.append(1)
            return len(loads)

        return load

    def test_an_answer_is_loaded_once_until_its_topic_is_heard(self, hub, load):
        cache = HeardCache("policy", hub=hub)
        assert [cache.get("a", load), cache.get("a", load), cache.get("b", load)] == [1, 1, 2]
        hub.dispatch("grant", "x")
        assert cache.get("a", load) == 1
        hub.dispatch("policy", "x")
        assert cache.get("a", load) == 3

    def test_unheard_it_is_believed_for_a_second(self, line, load):
        now = [0.0]
        cache = HeardCache("policy", hub=Hub(line), clock=lambda: now[0])
        assert cache.get("a", load) == 1
        now[0] = 0.9
        assert cache.get("a", load) == 1
        now[0] = 1.0
        assert cache.get("a", load) == 2

    def test_what_an_announcement_overtakes_is_not_kept(self, hub, load):
        cache = HeardCache("policy", hub=hub)

        def overtaken():
            hub.dispatch("policy", "x")
            return "old"

        assert cache.get("a", overtaken) == "old"
        assert cache.get("a", load) == 1

    def test_what_a_writing_transaction_reads_is_not_kept(self, hub, load, org):
        cache = HeardCache("policy", hub=hub)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()")  # as a write does
            assert cache.get("a", load) == 1
        with transaction.atomic():
            assert cache.get("a", load) == 2
            assert cache.get("a", load) == 2

    def test_it_never_grows_beyond_its_bound(self, hub, load):
        cache = HeardCache("policy", hub=hub, max_entries=2)
        for key in ("a", "b", "c"):
            cache.get(key, load)
        assert [cache.get(key, load) for key in ("c", "b", "a")] == [3, 2, 4]

    def test_an_answer_made_of_another_is_never_made_again_of_the_old_one(self, hub):
        """Whatever the order in which caches hear of a change, and however many stand on each other."""
        truth = ["old"]
        stack: list[HeardCache] = []

        def read(depth: int) -> str:
            if depth == len(stack):
                return truth[0]
            return stack[depth].get("a", lambda: read(depth + 1))

        hub.subscribe_cache(lambda _topic, _key: read(0))  # somebody asks in between
        for _cache in range(3):
            stack.append(HeardCache("policy", hub=hub))
            hub.subscribe_cache(lambda _topic, _key: read(0))
        assert read(0) == "old"
        truth[0] = "new"
        hub.dispatch("policy", "x")
        assert read(0) == "new"
        truth[0] = "remembered again"
        assert read(0) == "new"

    def test_an_answer_that_ends_by_itself_is_loaded_again_then(self, hub):
        ends = [time.time() + 3600]
        cache = HeardCache("policy", hub=hub, ends=lambda _value: ends[0])
        loads: list[int] = []
        for _ask in range(2):
            cache.get("a", lambda: loads.append(1))
        assert len(loads) == 1
        ends[0] = time.time() - 1
        cache.get("a", lambda: loads.append(1))
        assert len(loads) == 2
