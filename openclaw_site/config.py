"""What the environment says, read once and typed: the only module that looks at `os.environ`."""

from __future__ import annotations

import functools
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openclaw_site.secret_files import SecretFiles

CHECKOUT = Path(__file__).resolve().parent.parent
OWNER_ROLE = "owner"
APP_ROLE = "app"
# Variables that carry a password: the runner sets them for its children, nobody else inherits them.
SECRET_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


class ConfigError(Exception):
    """A variable holds something that cannot work; the message names it and says what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Pkcs11Config:
    """A token: the vendor's library, the token by label or slot number, and the file that holds its PIN."""

    module: Path
    pin_file: Path
    token: str = ""
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class S3Config:
    """A bucket. `credentials_file` has the access key's id in its first line and the secret in its second."""

    bucket: str
    endpoint: str = ""
    region: str = ""
    credentials_file: Path | None = None
    credentials_name: str = "OPENCLAW_S3_CREDENTIALS_FILE"

    @property
    def options(self) -> dict[str, Any]:
        """As django-storages spells it; without a credentials file boto's own places are asked, e.g. a role."""
        options: dict[str, Any] = {"region_name": self.region or None}
        if self.bucket:
            options["bucket_name"] = self.bucket
        if self.endpoint:
            options |= {"endpoint_url": self.endpoint, "addressing_style": "path"}
        if self.credentials_file:
            lines = self.credentials_file.read_text(encoding="utf-8").split()
            if len(lines) != 2:
                raise ConfigError(
                    f"{self.credentials_name} must hold the access key's id and the secret, one in each line."
                )
            options |= {"access_key": lines[0], "secret_key": lines[1]}
        return options


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How models run in the web processes (`inference.serving.options` says what each value does)."""

    execution_providers: tuple[str, ...] = ("CPU",)
    model_threads: int = 1
    isolation: str = "thread"
    trial: bool = True
    child_memory_mb: int = 8192
    model_memory_mb: int = 0
    latency_objective_ms: int = 1000
    remote_hosts: tuple[str, ...] = ()
    remote_credentials_file: Path | None = None
    remote_ca_file: Path | None = None
    remote_allow_http: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """The site's settings that differ from one installation to the next."""

    var: Path
    database_url: str = ""
    database_owner_url: str = ""
    database_role: str = APP_ROLE
    redis_url: str = ""
    public_url: str = "http://127.0.0.1:8000"
    host: str = "127.0.0.1"
    port: int = 8000
    web_workers: int = 1
    task_workers: int = 2
    ethics_approval_days: int = 365
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    secret_key_file: Path | None = None
    metrics_token_file: Path | None = None
    prometheus_multiproc_dir: str = ""
    key_provider: str = "software"
    pkcs11: Pkcs11Config | None = None
    storage: str = "local"
    s3: S3Config | None = None
    data_buckets: tuple[tuple[str, str, str], ...] = ()
    data_s3: S3Config | None = None
    serving: ServingConfig = field(default_factory=ServingConfig)
    ci: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Config:
        """Read every variable, with its default; raises ConfigError for a value that cannot work."""
        port = _number(environ, "OPENCLAW_PORT", default=8000, least=1, most=65535)
        public_url = environ.get("OPENCLAW_PUBLIC_URL", "") or f"http://127.0.0.1:{port}"
        _check_public_url(public_url)
        role = environ.get("OPENCLAW_DATABASE_ROLE", "") or APP_ROLE
        if role not in (APP_ROLE, OWNER_ROLE):
            raise ConfigError(f"OPENCLAW_DATABASE_ROLE is {role!r}; it may be 'app' or 'owner'.")
        hosts = [host.strip() for host in environ.get("OPENCLAW_ALLOWED_HOSTS", "").split(",")]
        return cls(
            var=Path(environ.get("OPENCLAW_VAR", "") or CHECKOUT / "var").expanduser().absolute(),
            database_url=environ.get("DATABASE_URL", ""),
            database_owner_url=environ.get("DATABASE_OWNER_URL", ""),
            database_role=role,
            redis_url=environ.get("REDIS_URL", ""),
            public_url=public_url.rstrip("/"),
            host=environ.get("OPENCLAW_HOST", "") or "127.0.0.1",
            port=port,
            web_workers=_number(environ, "OPENCLAW_WEB_WORKERS", default=1, least=1, most=64),
            task_workers=_number(environ, "OPENCLAW_TASK_WORKERS", default=2, least=1, most=256),
            ethics_approval_days=_number(
                environ, "OPENCLAW_ETHICS_APPROVAL_DAYS", default=365, least=1, most=365
            ),
            allowed_hosts=tuple(host for host in hosts if host),
            trusted_proxies=_networks(environ, "OPENCLAW_TRUSTED_PROXIES"),
            secret_key_file=_file(environ, "OPENCLAW_SECRET_KEY_FILE"),
            metrics_token_file=_file(environ, "OPENCLAW_METRICS_TOKEN_FILE"),
            prometheus_multiproc_dir=environ.get("PROMETHEUS_MULTIPROC_DIR", ""),
            key_provider=_choice(environ, "OPENCLAW_KEY_PROVIDER", "software", "pkcs11"),
            pkcs11=_pkcs11(environ),
            storage=_choice(environ, "OPENCLAW_STORAGE", "local", "s3"),
            s3=_s3(environ),
            data_buckets=_data_buckets(environ),
            data_s3=_data_s3(environ),
            serving=_serving(environ),
            ci=environ.get("CI", "").lower() in ("1", "true"),
        )

    @property
    def https(self) -> bool:
        """Whether people reach the site over TLS: then cookies are secure and HSTS is sent."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def public_host(self) -> str:
        """The host name in `public_url`."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host name that the site answers to."""
        own = {self.public_host, *self.allowed_hosts}
        if is_loopback(self.public_host):
            own |= {"127.0.0.1", "localhost", "[::1]"}
        return tuple(sorted(own))

    @property
    def secrets(self) -> SecretFiles:
        """The folder of random secrets."""
        return SecretFiles(self.var / "secrets")

    @property
    def secret_key(self) -> str:
        """Django's signing key: from OPENCLAW_SECRET_KEY_FILE, or random and kept in `var/secrets`."""
        return _secret(self.secret_key_file, self.secrets, "django-secret-key", size_bytes=48)

    @property
    def metrics_token(self) -> str:
        """The bearer token that opens /metrics."""
        return _secret(self.metrics_token_file, self.secrets, "metrics-token")

    @property
    def django_database(self) -> dict[str, Any]:
        """DATABASE_URL as an entry of Django's DATABASES; without one, the embedded database's name only."""
        return django_database(self.database_url)

    @property
    def celery_broker_url(self) -> str:
        """REDIS_URL as Celery's transport spells it."""
        return celery_broker_url(self.redis_url)


@functools.cache
def load() -> Config:
    """The configuration of this process."""
    return Config.from_environ(os.environ)


def process_environment(*, keep_secrets: bool = False, **changes: str) -> dict[str, str]:
    """This process's environment for a child, with `changes` laid over it.

    The addresses that carry passwords are left out unless `keep_secrets`, which only another runner needs.
    """
    hidden = () if keep_secrets else SECRET_VARIABLES
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    return inherited | changes


def runtime_folder() -> Path | None:
    """The account's private folder for sockets ($XDG_RUNTIME_DIR), if the system gave it one."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) if folder and Path(folder).is_dir() else None


def django_database(url: str) -> dict[str, Any]:
    """A PostgreSQL URL (or libpq connection string) as an entry of Django's DATABASES."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        raise ConfigError(
            "DATABASE_URL cannot be read; write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE."
        ) from error
    return {
        "ENGINE": "governance.tenants.postgresql",
        "NAME": parts.pop("dbname", "openclaw"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": parts,
    }


def celery_broker_url(url: str) -> str:
    """A redis-py URL as Celery's transport spells it: only unix sockets differ."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("db", "0")
    password = f":{parts.password}@" if parts.password else ""
    return f"redis+socket://{password}{parts.path}?virtual_host={database}"


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"OPENCLAW_PUBLIC_URL is {url!r}; write it as https://openclaw.example.com.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(
            f"OPENCLAW_PUBLIC_URL is {url!r}, but plain http is only allowed for this machine itself "
            "(127.0.0.1, localhost). Put a TLS proxy in front and write https://, or leave the variable out."
        )


def _number(environ: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = environ.get(name, "") or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(f"{name} is {text!r}; it must be a whole number from {least} to {most}.")
    return int(text)


def _networks(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())
    for network in found:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(
                f"{name} has {network!r}; write addresses or networks with commas between, e.g. 127.0.0.1,10.0.0.0/8."
            ) from error
    return found


def _choice(environ: Mapping[str, str], name: str, default: str, *others: str) -> str:
    value = environ.get(name, "") or default
    if value not in (default, *others):
        raise ConfigError(f"{name} is {value!r}; it may be one of: {', '.join((default, *others))}.")
    return value


def _pkcs11(environ: Mapping[str, str]) -> Pkcs11Config | None:
    """The token's address; needed when keys are to be made there, allowed when some only have to stay readable.

    Files that are not there are not an error here: a token that goes away must not keep the site from starting.
    """
    module, pin_file = environ.get("OPENCLAW_PKCS11_MODULE", ""), environ.get("OPENCLAW_PKCS11_PIN_FILE", "")
    token, slot = environ.get("OPENCLAW_PKCS11_TOKEN", ""), environ.get("OPENCLAW_PKCS11_SLOT", "")
    if not module and environ.get("OPENCLAW_KEY_PROVIDER", "") != "pkcs11":
        return None
    if not module or not pin_file or not (token or slot):
        raise ConfigError(
            "OPENCLAW_KEY_PROVIDER=pkcs11 needs OPENCLAW_PKCS11_MODULE, OPENCLAW_PKCS11_PIN_FILE, and "
            "OPENCLAW_PKCS11_TOKEN or OPENCLAW_PKCS11_SLOT."
        )
    number = _number(environ, "OPENCLAW_PKCS11_SLOT", default=0, least=0, most=2**32) if slot else None
    return Pkcs11Config(module=Path(module), pin_file=Path(pin_file), token=token, slot=number)


def _s3(environ: Mapping[str, str]) -> S3Config | None:
    if environ.get("OPENCLAW_STORAGE", "") != "s3":
        return None
    bucket = environ.get("OPENCLAW_S3_BUCKET", "")
    if not bucket:
        raise ConfigError("OPENCLAW_STORAGE=s3 needs OPENCLAW_S3_BUCKET.")
    return S3Config(
        bucket=bucket,
        endpoint=environ.get("OPENCLAW_S3_ENDPOINT", ""),
        region=environ.get("OPENCLAW_S3_REGION", ""),
        credentials_file=_file(environ, "OPENCLAW_S3_CREDENTIALS_FILE"),
    )


def _data_buckets(environ: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Whose datasets may lie where: the tenant's short name, a bucket, and a prefix that ends in a slash."""
    lent = []
    for word in _words(environ, "OPENCLAW_DATA_BUCKETS"):
        found = re.fullmatch(r"([a-z0-9-]+)=([a-z0-9][a-z0-9.-]{2,62})(?:/(\S*))?", word)
        if found is None:
            raise ConfigError(
                f"OPENCLAW_DATA_BUCKETS: {word!r} is not of the form tenant=bucket or tenant=bucket/prefix."
            )
        tenant, bucket, prefix = found.groups(default="")
        lent.append((tenant, bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""))
    return tuple(lent)


def _data_s3(environ: Mapping[str, str]) -> S3Config | None:
    """The service that holds those buckets; its credentials are its own, and need to read only."""
    if not environ.get("OPENCLAW_DATA_BUCKETS", ""):
        return None
    return S3Config(
        bucket="",
        endpoint=environ.get("OPENCLAW_DATA_S3_ENDPOINT", ""),
        region=environ.get("OPENCLAW_DATA_S3_REGION", ""),
        credentials_file=_file(environ, "OPENCLAW_DATA_S3_CREDENTIALS_FILE"),
        credentials_name="OPENCLAW_DATA_S3_CREDENTIALS_FILE",
    )


def _serving(environ: Mapping[str, str]) -> ServingConfig:
    return ServingConfig(
        execution_providers=_words(environ, "OPENCLAW_EXECUTION_PROVIDERS") or ("CPU",),
        model_threads=_number(environ, "OPENCLAW_MODEL_THREADS", default=1, least=1, most=256),
        isolation=_choice(environ, "OPENCLAW_MODEL_ISOLATION", "thread", "process"),
        trial=_choice(environ, "OPENCLAW_MODEL_TRIAL", "on", "off") == "on",
        child_memory_mb=_number(
            environ, "OPENCLAW_MODEL_CHILD_MEMORY_MB", default=8192, least=512, most=2**22
        ),
        model_memory_mb=_number(environ, "OPENCLAW_MODEL_MEMORY_MB", default=0, least=0, most=2**22),
        latency_objective_ms=_number(
            environ, "OPENCLAW_LATENCY_OBJECTIVE_MS", default=1000, least=1, most=600_000
        ),
        remote_hosts=_words(environ, "OPENCLAW_REMOTE_INFERENCE_HOSTS"),
        remote_credentials_file=_file(environ, "OPENCLAW_REMOTE_INFERENCE_CREDENTIALS_FILE"),
        remote_ca_file=_file(environ, "OPENCLAW_REMOTE_INFERENCE_CA_FILE"),
        remote_allow_http=_choice(environ, "OPENCLAW_REMOTE_INFERENCE_TLS", "required", "optional")
        == "optional",
    )


def _words(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word for part in environ.get(name, "").split(",") if (word := part.strip()))


def _file(environ: Mapping[str, str], name: str) -> Path | None:
    text = environ.get(name, "")
    if text and not Path(text).is_file():
        raise ConfigError(f"{name} is {text!r}, but there is no such file.")
    return Path(text) if text else None


def _secret(file: Path | None, secrets: SecretFiles, name: str, *, size_bytes: int = 32) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return secrets.get_or_create(name, size_bytes=size_bytes)
