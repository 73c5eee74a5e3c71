"""The models of a batch worker process: as the installation wants its models run, and the last few stay loaded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.conf import settings

from inference.registry.models import ModelVersion
from inference.rollouts.selectors import Arm
from inference.serving import residency
from inference.serving.options import ServingOptions
from inference.serving.runtime import LoadError, Runtime
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature

KEPT = 2


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded version; `together` says whether its rows may share a run."""

    runtime: Runtime
    signature: Signature
    together: bool


_loaded: OrderedDict[tuple[UUID, str], Loaded] = OrderedDict()


def load(version: ModelVersion) -> Loaded:
    """The version, loaded now unless it is still. Raises LoadError, also where its data may not go to its server.

    In the tenant's scope. One caller at a time: a worker process computes one shard after the other.
    """
    arm = _arm(version)
    reason, _decision = residency.forbidden(arm, tenant_id=version.tenant_id)
    if reason:
        raise LoadError(reason)
    key = (version.id, version.sha256)
    found = _loaded.get(key)
    if found is None:
        signature = Signature.declared(version.inputs, version.outputs)
        runtime = _runtimes().load(arm, signature)
        found = _loaded[key] = Loaded(runtime, signature, runtime.rows_are_independent())
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)[1].runtime.close()
    _loaded.move_to_end(key)
    return found


def unload_all() -> None:
    """Give back the memory of every version, and their processes."""
    while _loaded:
        _loaded.popitem()[1].runtime.close()


@cache
def _runtimes() -> Runtimes:
    return Runtimes(ServingOptions.of(settings.OPENCLAW_SERVING))


def _arm(version: ModelVersion) -> Arm:
    return Arm(
        version_id=version.id,
        version=version.version,
        weight=0,
        artifact_path=version.artifact,
        sha256=version.sha256,
        inputs=tuple(version.inputs),
        outputs=tuple(version.outputs),
        format=version.format,
        size_bytes=version.size_bytes,
    )
