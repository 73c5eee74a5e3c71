"""The site's own processes: how each is started."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Mapping

from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.process import Program

INTERACTIVE_QUEUES = "default,checks,publish"
BATCH_QUEUES = "batch"


def web(config: Config, environment: Mapping[str, str]) -> Program:
    """The web server: granian with the one ASGI entry."""
    options = [
        "--interface=asgi",
        f"--host={config.host}",
        f"--port={config.port}",
        f"--workers={config.web_workers}",
        "--loop=uvloop",
        "--no-access-log",
        "--respawn-failed-workers",
        "--workers-kill-timeout=10",
    ]
    argv = [sys.executable, "-m", "granian", *options, "openclaw_site.asgi:application"]
    return _program(config, "web", argv, {**environment, **_shared_metrics(config)})


def _shared_metrics(config: Config) -> dict[str, str]:
    """With several web processes, the folder in which they share their numbers: a fresh one for each start."""
    if config.web_workers == 1:
        return {}
    folder = config.var / "run" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def workers(config: Config, environment: Mapping[str, str]) -> list[Program]:
    """The Celery workers: one for what people wait for, one for batch predictions."""
    return [
        _worker(config, "worker", INTERACTIVE_QUEUES, config.task_workers, environment),
        _worker(config, "worker-batch", BATCH_QUEUES, 1, environment),
    ]


def beat(config: Config, environment: Mapping[str, str]) -> Program:
    """The clock that sends periodic tasks; its schedule is code, its file only remembers when each last ran."""
    schedule = config.var / "run" / "beat-schedule"
    argv = [*_celery(), "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO"]
    return _program(config, "beat", argv, environment)


def manage(config: Config, name: str, *arguments: str, environment: Mapping[str, str]) -> Program:
    """One Django command that runs to its end, with its own log."""
    return _program(config, name, [sys.executable, "-m", "django", *arguments], environment)


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "openclaw_site.celery"]


def _worker(
    config: Config, name: str, queues: str, concurrency: int, environment: Mapping[str, str]
) -> Program:
    options = [
        f"--queues={queues}",
        f"--concurrency={concurrency}",
        f"--hostname={name}@%h",
        "--loglevel=INFO",
    ]
    # Its neighbours' heartbeats are nobody's business here, and each costs a message a second.
    argv = [*_celery(), "worker", *options, "--without-gossip", "--without-mingle"]
    return _program(config, name, argv, environment)


def _program(config: Config, name: str, argv: list[str], environment: Mapping[str, str]) -> Program:
    return Program(
        name=name,
        argv=argv,
        environment=environment,
        log=config.var / "logs" / f"{name}.log",
        folder=CHECKOUT,
        stop_signal=signal.SIGTERM,
    )
