"""Publishing approved versions and taking blocked ones back."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import DomainError
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause, checkpoint
from governance.tenants.context import platform_scope
from governance.tenants.tasks import enqueue
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.services import (
    mark_published,
    note_publication_failed,
    note_publication_started,
)
from marketplace.distribution.client import download_verified, site_repository
from marketplace.distribution.models import Release
from marketplace.distribution.states import RELEASE_STATES

__all__ = ["download_verified", "ensure_repository", "publish", "refresh", "resume_stalled", "withdraw"]

logger = logging.getLogger(__name__)
State = Release.State
LEASE = timedelta(minutes=5)
# How long to wait after a failure: twice as long each time, at most ten minutes.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
# PostgreSQL advisory lock of whoever writes the repository: "TUF" in ASCII.
REPOSITORY_LOCK = 0x545546


@contextmanager
def _repository_lock() -> Iterator[None]:
    """Writers of the repository wait for each other, on every machine, until the transaction ends."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [REPOSITORY_LOCK])
        yield


def ensure_repository() -> None:
    """Make the repository if there is none, and sign again what would expire soon."""
    with _repository_lock():
        site_repository().refresh()


def refresh() -> None:
    """Called by the beat, so that the metadata never expires while the site runs."""
    ensure_repository()


def target_path_of(version: PluginVersion) -> str:
    """The version's name in the repository."""
    return f"plugins/{version.plugin.partner.slug}/{version.plugin.slug}/{version.version}.zip"


def publish(*, plugin_version_id: UUID) -> None:
    """Sign, publish, download again and verify; only then is the version called published.

    Every step can be repeated: a worker that is killed anywhere loses nothing, and a second one in parallel finds the
    lease. A failure is kept and tried again later.
    """
    with platform_scope():
        release = _begin(plugin_version_id)
        if release is None:
            return
        version = release.plugin_version
        try:
            partner = Cause.house(version.tenant_id)
            checkpoint(partner)
            _add_to_repository(version, release.target_path)
            checkpoint(partner)
            _fetch_back(version, release.target_path)
            _finish(release)
        except (DomainError, OSError) as error:
            logger.warning("publishing %s failed: %s", release.target_path, error)
            _fail(release, str(error))


def _begin(plugin_version_id: UUID) -> Release | None:
    now = timezone.now()
    with transaction.atomic():
        version = (
            PluginVersion.objects.select_for_update(of=("self",))
            .select_related("plugin__partner")
            .filter(pk=plugin_version_id, state=PluginVersion.State.APPROVED)
            .first()
        )
        if version is None:
            return None
        require(SYSTEM, "distribution.release.publish", version)
        release, _created = Release.objects.get_or_create(
            plugin_version=version,
            defaults={"tenant_id": version.tenant_id, "target_path": target_path_of(version)},
        )
        leased = release.lease_until is not None and release.lease_until > now
        if leased and release.state == State.PUBLISHING:
            return None
        RELEASE_STATES.check(release.state, State.PUBLISHING, SYSTEM.roles)
        release.state = State.PUBLISHING
        release.attempts += 1
        release.lease_until = now + LEASE
        release.save(update_fields=["state", "attempts", "lease_until"])
        note_publication_started(principal=SYSTEM, version_id=version.id)
        release.plugin_version = version
        return release


def _add_to_repository(version: PluginVersion, target_path: str) -> None:
    custom = {
        "plugin": version.plugin.slug,
        "version": version.version,
        "partner": version.plugin.partner.slug,
        "submission": str(version.submission_id),
        "approvals": version.approvals,
        "risk": version.risk_level,
    }
    with _repository_lock():
        site_repository().add(target_path, version.archive, custom)


def _fetch_back(version: PluginVersion, target_path: str) -> None:
    with tempfile.TemporaryDirectory(prefix="openclaw-publish-") as folder:
        download_verified(target_path, Path(folder) / "package.zip", sha256=version.sha256)


def _finish(release: Release) -> None:
    with transaction.atomic():
        current = Release.objects.select_for_update(of=("self",)).get(pk=release.pk)
        if current.state != State.PUBLISHING:
            return
        RELEASE_STATES.check(current.state, State.PUBLISHED, SYSTEM.roles)
        current.state = State.PUBLISHED
        current.published_at = timezone.now()
        current.lease_until = None
        current.error = ""
        current.save()
        mark_published(
            principal=SYSTEM, version_id=release.plugin_version_id, target_path=release.target_path
        )
        record(
            principal=SYSTEM,
            action="distribution.release.published",
            target=ObjectRef.of(current, digest=release.plugin_version.sha256),
            tenant_id=current.tenant_id,
            details={"attempts": current.attempts},
        )


def _fail(release: Release, problem: str) -> None:
    pause = min(FIRST_PAUSE * 2 ** min(release.attempts - 1, 10), LONGEST_PAUSE)
    with transaction.atomic():
        current = Release.objects.select_for_update(of=("self",)).get(pk=release.pk)
        if current.state != State.PUBLISHING:
            return
        RELEASE_STATES.check(current.state, State.QUEUED, SYSTEM.roles)
        current.state = State.QUEUED
        current.lease_until = timezone.now() + pause
        current.error = problem[:4000]
        current.save(update_fields=["state", "lease_until", "error"])
        note_publication_failed(principal=SYSTEM, version_id=release.plugin_version_id, detail=problem[:1000])


def withdraw(*, plugin_version_id: UUID) -> None:
    """Take a blocked version out of the repository. Idempotent."""
    with platform_scope(), transaction.atomic():
        version = PluginVersion.objects.filter(
            pk=plugin_version_id, state=PluginVersion.State.BLOCKED
        ).first()
        release = Release.objects.select_for_update(of=("self",)).filter(plugin_version=version).first()
        if version is None or release is None or release.state == State.REMOVED:
            return
        with _repository_lock():
            site_repository().remove(release.target_path)
        RELEASE_STATES.check(release.state, State.REMOVED, SYSTEM.roles)
        release.state = State.REMOVED
        release.removed_at = timezone.now()
        release.lease_until = None
        release.save(update_fields=["state", "removed_at", "lease_until"])
        record(
            principal=SYSTEM,
            action="distribution.release.removed",
            target=ObjectRef.of(release, digest=version.sha256),
            tenant_id=release.tenant_id,
            reason=version.blocked_reason,
        )


def resume_stalled() -> int:
    """Send again what a lost worker, a lost message or a failure has left."""
    now = timezone.now()
    waiting = (
        Q(release__isnull=True) | Q(release__lease_until__isnull=True) | Q(release__lease_until__lte=now)
    )
    with platform_scope(), transaction.atomic():
        stalled = PluginVersion.objects.filter(waiting, state=PluginVersion.State.APPROVED)
        removable = PluginVersion.objects.filter(
            state=PluginVersion.State.BLOCKED,
            release__state__in=[State.QUEUED, State.PUBLISHING, State.PUBLISHED],
        )
        count = 0
        for version_id in stalled.values_list("id", flat=True):
            enqueue("distribution.publish", queue="publish", plugin_version_id=version_id)
            count += 1
        for version_id in removable.values_list("id", flat=True):
            enqueue("distribution.withdraw", queue="publish", plugin_version_id=version_id)
            count += 1
    return count
