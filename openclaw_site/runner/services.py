"""PostgreSQL and Valkey for the site: embedded ones of our own, or those that the environment names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from openclaw_site.config import CHECKOUT, OWNER_ROLE, Config, process_environment
from openclaw_site.runner import external
from openclaw_site.runner.lock import RunLock
from openclaw_site.runner.postgres import EmbeddedPostgres
from openclaw_site.runner.process import Child
from openclaw_site.runner.valkey import EmbeddedValkey


@dataclass(frozen=True)
class Addresses:
    """Where the services answer, with their passwords."""

    database_url: str
    owner_url: str
    redis_url: str


class Services:
    """The two services of one installation."""

    def __init__(self, config: Config) -> None:
        self.config = config
        logs = config.var / "logs"
        self.postgres: EmbeddedPostgres | None = None
        self.valkey: EmbeddedValkey | None = None
        self._external_urls: tuple[str, str] | None = None
        if not config.database_url:
            self.postgres = EmbeddedPostgres(config.var / "pg", config.secrets, log=logs / "postgres.log")
        if not config.redis_url:
            self.valkey = EmbeddedValkey(config.var / "valkey", config.secrets, log=logs / "valkey.log")

    @property
    def embedded(self) -> bool:
        """Whether at least one of them is started and stopped by us."""
        return self.postgres is not None or self.valkey is not None

    @property
    def children(self) -> list[Child]:
        """The processes of the embedded ones."""
        return [service.child for service in (self.postgres, self.valkey) if service is not None]

    def start_database(self) -> None:
        """Start the embedded PostgreSQL, or prepare the roles of the external one."""
        if self.postgres is not None:
            self.postgres.start()
        else:
            self._external_urls = external.prepare_database(self.config)

    def start_broker(self) -> None:
        """Start the embedded Valkey, or ask the external server whether it is there."""
        if self.valkey is not None:
            self.valkey.start()
        else:
            external.check_redis(self.config.redis_url)

    def addresses(self) -> Addresses:
        """Where the running services answer."""
        if self.postgres is not None:
            app_url, owner_url = self.postgres.app_url(), self.postgres.owner_url()
        else:
            app_url, owner_url = self._external_urls or external.prepare_database(self.config)
        return Addresses(
            app_url, owner_url, self.valkey.url if self.valkey is not None else self.config.redis_url
        )

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop the embedded ones, in reverse order."""
        for child in reversed(self.children):
            child.stop(hurry=hurry)


@contextmanager
def available_services(config: Config) -> Iterator[Addresses]:
    """The services for one command: those of the running site, or started for as long as the command runs."""
    services = Services(config)
    lock = RunLock(config.var)
    if not services.embedded or lock.holder():
        yield services.addresses()
        return
    with lock:
        try:
            services.start_database()
            services.start_broker()
            yield services.addresses()
        finally:
            services.stop()


def site_environment(config: Config, addresses: Addresses, *, owner: bool = False) -> dict[str, str]:
    """The environment of one of the site's own processes; `owner` is for migrations alone."""
    environment = process_environment(
        DATABASE_URL=addresses.owner_url if owner else addresses.database_url,
        REDIS_URL=addresses.redis_url,
        OPENCLAW_VAR=str(config.var),
        DJANGO_SETTINGS_MODULE="openclaw_site.settings",
        PYTHONUNBUFFERED="1",
        PYTHONPATH=str(CHECKOUT),
    )
    if owner:
        environment["OPENCLAW_DATABASE_ROLE"] = OWNER_ROLE
    return environment
