"""Whether a version on another server may be asked: its inputs leave this machine, so the placement rules decide.

The operator says in which compute pool a remote server stands (`OPENCLAW_REMOTE_INFERENCE_HOSTS=host:port=pool`). One
in no pool, or in a pool that is not in use, counts as a public pool of unknown region: only what may go there does.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from governance.data.placement import Work, judge
from governance.data.pools import Pool, pools_for
from governance.decision import Decision
from governance.ethics.use import UNSAID, Use
from governance.refs import ObjectRef
from inference.serving.artifacts import LoadError, read_artifact
from inference.serving.lookups import Arm
from inference.serving.options import RemoteOptions, ServingOptions
from inference.serving.remote import MAX_DESCRIPTOR_BYTES, Descriptor

TASK = "inference.serving.remote"
VERSION = "registry.modelversion"
MAX_KNOWN = 1_000


def forbidden(arm: Arm, *, tenant_id: UUID, use: Use = UNSAID) -> tuple[str, Decision | None]:
    """Why the inputs of a version may not go to its server, in words, and the decision; "" where they may.

    Every version that is computed here may be. Blocking; in the tenant's scope. A descriptor that cannot be read is
    nobody's server: loading it says what is wrong.
    """
    if arm.format != "remote":
        return "", None
    try:
        host = _host(arm)
    except (LoadError, ValueError):
        return "", None
    return kept_from(host, version_id=arm.version_id, version=arm.version, tenant_id=tenant_id, use=use)


def kept_from(
    host: str, *, version_id: UUID, version: str, tenant_id: UUID, use: Use = UNSAID
) -> tuple[str, Decision | None]:
    """As `forbidden`, for a version whose server is known."""
    asset = ObjectRef(VERSION, str(version_id), label=version)
    work = Work(tenant_id, TASK, assets=(asset,), purpose=use.purpose)
    step, decision = judge(work, pool_of(host, tenant_id))
    if step.allowed:
        return "", decision
    return f"version {version} is computed by {host}: {step.reason}", decision


def pool_of(host: str, tenant_id: UUID) -> Pool:
    """The compute pool in which a remote server stands, as far as this tenant may use it."""
    name = _options().pools.get(host, "")
    for pool in pools_for(tenant_id):
        if name and pool.name == name:
            return pool
    return Pool(name=name or host, kind="public")


def _options() -> RemoteOptions:
    return ServingOptions.of(settings.OPENCLAW_SERVING).remote


_hosts: dict[str, str] = {}


def _host(arm: Arm) -> str:
    """The server of a version, remembered by the digest of its descriptor."""
    host = _hosts.get(arm.sha256)
    if host is None:
        host = Descriptor.parse(
            read_artifact(arm.artifact_path, sha256=arm.sha256, most_bytes=MAX_DESCRIPTOR_BYTES)
        ).host
        if len(_hosts) >= MAX_KNOWN:
            _hosts.clear()
        _hosts[arm.sha256] = host
    return host
