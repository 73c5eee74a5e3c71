"""The Celery application: carries work to workers. The database row of each job is the truth about it."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import beat_init, worker_init, worker_process_init, worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openclaw_site.settings")

app = Celery("openclaw", task_cls="governance.tenants.tasks:TenantTask")
# Services send by name through `current_app`, from whichever thread runs the request.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Registers the signal handlers that tell the console which workers are alive.
import openclaw_site.heartbeats  # noqa: E402, F401


@worker_init.connect
def refuse_unsafe_database_role(**kwargs: object) -> None:
    """A worker does not start with a database role that row-level security would not bind."""
    from django.db import connection

    from governance.process import set_process_kind
    from openclaw_site.startup import verify_runtime

    set_process_kind("worker")
    verify_runtime()
    # The pool's threads do not survive the fork of the worker's children; each makes its own.
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it


@beat_init.connect
def call_it_the_beat(**kwargs: object) -> None:
    """What the audit log says of this process."""
    from governance.process import set_process_kind

    set_process_kind("beat")


@worker_process_init.connect
def hear_of_changes(**kwargs: object) -> None:
    """Each process that runs tasks listens for itself: nothing of the parent's connection survives the fork."""
    from governance.access.hub import hub

    hub.start(wait_s=0)


@worker_process_shutdown.connect
def hear_no_more(**kwargs: object) -> None:
    """Close the connection in order."""
    from governance.access.hub import hub

    hub.stop()
