"""The model repository: a folder of files, read into endpoints.

    REPOSITORY/<endpoint>/<version>/model.onnx
    REPOSITORY/<endpoint>/endpoint.yaml           see `manifest`

Without an `endpoint.yaml` the highest whole-numbered version answers. Names that cannot be endpoints (`lost+found`,
hidden files) are passed over. Nothing outside the folder is ever read: a link that leads out of it makes its endpoint
broken.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid5

from inference.serving.lookups import CohortRule, ShadowRule
from inference.serving.standalone.graph import signature_of
from inference.serving.standalone.manifest import (
    FILES,
    MAX_FILE_BYTES,
    MODEL_NAME,
    BrokenEndpoint,
    Manifest,
    Tensors,
    VersionEntry,
    parse_manifest,
)
from inference.serving.standalone.tokens import TENANT

ARTIFACT = "model.onnx"
# What one protobuf message can hold, and with that an ONNX file without further files beside it.
MAX_ARTIFACT_BYTES = 2**31 - 1
MAX_ENDPOINTS = 1_000

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class RepositoryArm:
    """One version of an endpoint, as `inference.serving.lookups.Arm` wants it."""

    version_id: UUID
    version: str
    weight: int
    artifact_path: Path
    size_bytes: int = field(compare=False)
    sha256: str
    inputs: Tensors
    outputs: Tensors
    format: str = "onnx"
    reference: None = None


@dataclass(frozen=True, slots=True)
class RepositoryEndpoint:
    """An endpoint as its folder was when it was read."""

    name: str
    arms: tuple[RepositoryArm, ...]
    id: UUID
    tenant_id: UUID = TENANT
    cohorts: tuple[CohortRule, ...] = ()
    shadows: tuple[ShadowRule, ...] = ()
    objective_s: float | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The whole repository: what can be served, and what cannot and why, by name."""

    endpoints: dict[str, RepositoryEndpoint] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """An artifact that was read: its state on disk then, its digest, and its own signature where that was wanted."""

    state: tuple[int, ...]
    sha256: str
    signature: tuple[Tensors, Tensors] | None


class Repository:
    """Reads the folder. Artifacts are read again only when they changed on disk. Blocking; one thread at a time.

    With `require_digests` a version whose manifest does not pin its sha256 is not served.
    """

    def __init__(self, root: Path, *, require_digests: bool = False) -> None:
        self._given = root
        self._require_digests = require_digests
        self._known: dict[Path, _Known] = {}

    def read(self) -> Contents:
        """The repository as it is now. Raises OSError when the folder itself cannot be read."""
        # Anew each time: the folder may be a link that is put onto the next release (git-sync does that).
        root = self._given.resolve(strict=True)
        contents = Contents()
        names = sorted(entry.name for entry in os.scandir(root) if MODEL_NAME.fullmatch(entry.name))
        seen: set[Path] = set()
        for number, name in enumerate(names):
            try:
                if number >= MAX_ENDPOINTS:
                    raise BrokenEndpoint(f"the repository has more than {MAX_ENDPOINTS} endpoints")
                endpoint = self._endpoint(root, name, seen)
            except BrokenEndpoint as error:
                contents.broken[name] = str(error)
            except OSError as error:
                contents.broken[name] = f"{error.strerror}: {error.filename}"
            else:
                if endpoint is not None:
                    contents.endpoints[name] = endpoint
        self._known = {path: known for path, known in self._known.items() if path in seen}
        return contents

    def _endpoint(self, root: Path, name: str, seen: set[Path]) -> RepositoryEndpoint | None:
        """The endpoint of one folder; None when the name is a file's. Raises BrokenEndpoint, OSError."""
        folder = _inside(root, root / name)
        if not folder.is_dir():
            return None
        manifest = _manifest(root, folder)
        arms = tuple(self._arm(root, folder, name, entry, manifest, seen) for entry in manifest.versions)
        first = arms[0]
        for arm in arms[1:]:
            if (arm.inputs, arm.outputs) != (first.inputs, first.outputs):
                raise BrokenEndpoint(
                    f"versions {first.version} and {arm.version} take or give different tensors; "
                    "an endpoint has one signature"
                )
        return RepositoryEndpoint(name, arms, id=uuid5(TENANT, name), objective_s=manifest.objective_s)

    def _arm(
        self,
        root: Path,
        folder: Path,
        name: str,
        entry: VersionEntry,
        manifest: Manifest,
        seen: set[Path],
    ) -> RepositoryArm:
        path = _inside(root, folder / entry.version / ARTIFACT)
        seen.add(path)
        if not entry.sha256 and self._require_digests:
            raise BrokenEndpoint(f"version {entry.version} has no sha256, which this server asks for")
        digest, inputs, outputs = entry.sha256, manifest.inputs, manifest.outputs
        size_bytes = _regular(path).st_size
        if not (digest and inputs):
            known = self._artifact(path, with_signature=not inputs)
            if digest and known.sha256 != digest:
                raise BrokenEndpoint(
                    f"version {entry.version}: the artifact's sha256 is not the declared one"
                )
            digest = known.sha256
            if known.signature is not None and not inputs:
                inputs, outputs = known.signature
        said = json.dumps([name, entry.version, digest, inputs, outputs])
        return RepositoryArm(
            uuid5(TENANT, said), entry.version, entry.weight, path, size_bytes, digest, inputs, outputs
        )

    def _artifact(self, path: Path, *, with_signature: bool) -> _Known:
        """Digest and signature of an artifact, from memory while the file stays as it is."""
        found = _regular(path)
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known.get(path)
        if known is None or known.state != state or (with_signature and known.signature is None):
            data = path.read_bytes()
            known = _Known(state, sha256(data).hexdigest(), signature_of(data) if with_signature else None)
            self._known[path] = known
        return known


def _manifest(root: Path, folder: Path) -> Manifest:
    """What the folder declares, or its highest whole-numbered version."""
    for name in FILES:
        path = folder / name
        if not os.path.lexists(path):
            continue
        path = _inside(root, path)
        _regular(path)
        with path.open("rb") as stream:
            return parse_manifest(stream.read(MAX_FILE_BYTES + 1), name=name)
    numbered = [entry.name for entry in os.scandir(folder) if _WHOLE_NUMBER.fullmatch(entry.name)]
    if not numbered:
        raise BrokenEndpoint(f"it has neither {FILES[0]} nor a folder with a whole number for a name")
    return Manifest((VersionEntry(max(numbered, key=int), 100),))


def _inside(root: Path, path: Path) -> Path:
    """The real place of a path that must lie in the repository. Raises BrokenEndpoint, OSError."""
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise BrokenEndpoint(f"{path.relative_to(root)} is not there") from None
    except RuntimeError:
        raise BrokenEndpoint(f"{path.name} is a link that leads back to itself") from None
    if not real.is_relative_to(root):
        raise BrokenEndpoint(f"{path.name} leads out of the repository")
    return real


def _regular(path: Path) -> os.stat_result:
    """The state of a plain file of a size that can be served. A pipe or a device would keep the reader waiting."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BrokenEndpoint(f"{path.name} is no plain file")
    if found.st_size > MAX_ARTIFACT_BYTES:
        raise BrokenEndpoint(f"{path.name} is larger than {MAX_ARTIFACT_BYTES} bytes")
    return found
