"""The signed repository of published plugins, after The Update Framework (TUF 1.0.x, theupdateframework.io).

Four top-level roles with a key each. Snapshots are consistent: every metadata version and every target has a file name
of its own, and only `timestamp.json` is ever replaced. A publication therefore becomes visible in one rename, and one
that is interrupted before that has published nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from governance.keys.providers import KeyProvider
from marketplace.catalog.ziparchive import Openable

ROLES = ("root", "targets", "snapshot", "timestamp")
# How long each role's word is believed. Root and targets change with people's decisions; the other two are signed
# again by the beat, and their short life is what bounds a freeze attack.
LIFETIMES = {
    "root": timedelta(days=365),
    "targets": timedelta(days=180),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=2),
}
SERIALIZER = JSONSerializer(compact=False)


@dataclass(frozen=True, slots=True)
class Repository:
    """A TUF repository in `folder`: `metadata/` and `targets/`. Writers must hold a lock of their own."""

    folder: Path
    keys: KeyProvider

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def targets(self) -> Path:
        return self.folder / "targets"

    def ensure(self) -> None:
        """Make the repository if there is none: version 1 of every role, no targets."""
        if (self.metadata / "timestamp.json").exists():
            return
        root = Root(consistent_snapshot=True, expires=self._expiry("root"))
        for role in ROLES:
            root.add_key(self.keys.public_key(f"tuf-{role}"), role)
        self._write(Metadata(root), "root", "1.root.json")
        self._write(Metadata(Targets(expires=self._expiry("targets"))), "targets", "1.targets.json")
        self._write(Metadata(Snapshot(expires=self._expiry("snapshot"))), "snapshot", "1.snapshot.json")
        self._write(Metadata(Timestamp(expires=self._expiry("timestamp"))), "timestamp", "timestamp.json")

    def trusted_root(self) -> bytes:
        """The first root metadata: what a client must be given over a trusted way before its first download."""
        return (self.metadata / "1.root.json").read_bytes()

    def holds(self, path: str, sha256: str) -> bool:
        """Whether exactly this content is a target now."""
        target = self._targets().signed.targets.get(path)
        return target is not None and target.hashes.get("sha256") == sha256

    def add(self, path: str, source: Openable, custom: Mapping[str, Any]) -> None:
        """Publish the content of `source` as target `path`, with signed facts about it. Again, it changes nothing."""
        self.ensure()
        with source.open("rb") as content:
            target = TargetFile.from_data(path, content, ["sha256"])
        target.unrecognized_fields["custom"] = dict(custom)
        metadata = self._targets()
        if metadata.signed.targets.get(path) == target:
            return
        self._store(path, target.hashes["sha256"], source)
        metadata.signed.targets[path] = target
        self._publish(metadata)

    def remove(self, path: str) -> None:
        """Take a target out: from now on no client that verifies can get it."""
        self.ensure()
        metadata = self._targets()
        target = metadata.signed.targets.pop(path, None)
        if target is None:
            return
        self._publish(metadata)
        self._target_file(path, target.hashes["sha256"]).unlink(missing_ok=True)

    def refresh(self) -> bool:
        """Sign again what would expire within half its life; returns whether anything was."""
        self.ensure()
        targets, snapshot, timestamp = self._targets(), self._snapshot(), self._timestamp()
        if self._ageing("targets", targets.signed.expires):
            self._publish(targets)
            return True
        if self._ageing("snapshot", snapshot.signed.expires):
            self._publish_snapshot(snapshot)
            return True
        if self._ageing("timestamp", timestamp.signed.expires):
            self._publish_timestamp(timestamp, snapshot.signed.version)
            return True
        return False

    def _publish(self, targets: Metadata[Targets]) -> None:
        targets.signed.version += 1
        targets.signed.expires = self._expiry("targets")
        self._write(targets, "targets", f"{targets.signed.version}.targets.json")
        snapshot = self._snapshot()
        snapshot.signed.meta["targets.json"] = MetaFile(version=targets.signed.version)
        self._publish_snapshot(snapshot)

    def _publish_snapshot(self, snapshot: Metadata[Snapshot]) -> None:
        snapshot.signed.version += 1
        snapshot.signed.expires = self._expiry("snapshot")
        self._write(snapshot, "snapshot", f"{snapshot.signed.version}.snapshot.json")
        self._publish_timestamp(self._timestamp(), snapshot.signed.version)

    def _publish_timestamp(self, timestamp: Metadata[Timestamp], snapshot_version: int) -> None:
        timestamp.signed.version += 1
        timestamp.signed.expires = self._expiry("timestamp")
        timestamp.signed.snapshot_meta = MetaFile(version=snapshot_version)
        self._write(timestamp, "timestamp", "timestamp.json")

    def _timestamp(self) -> Metadata[Timestamp]:
        return Metadata[Timestamp].from_file(str(self.metadata / "timestamp.json"))

    def _snapshot(self) -> Metadata[Snapshot]:
        version = self._timestamp().signed.snapshot_meta.version
        return Metadata[Snapshot].from_file(str(self.metadata / f"{version}.snapshot.json"))

    def _targets(self) -> Metadata[Targets]:
        version = self._snapshot().signed.meta["targets.json"].version
        return Metadata[Targets].from_file(str(self.metadata / f"{version}.targets.json"))

    def _target_file(self, path: str, sha256: str) -> Path:
        folder, _slash, name = path.rpartition("/")
        return self.targets / folder / f"{sha256}.{name}"

    def _store(self, path: str, sha256: str, source: Openable) -> None:
        destination = self._target_file(path, sha256)
        destination.parent.mkdir(parents=True, exist_ok=True)
        draft = destination.with_name(f".{secrets.token_hex(6)}")
        with source.open("rb") as content, draft.open("wb") as out:
            shutil.copyfileobj(content, out, 1 << 20)
        _sync(draft)
        draft.replace(destination)

    def _write(self, metadata: Metadata[Any], role: str, name: str) -> None:
        metadata.sign(self.keys.signer(f"tuf-{role}"))
        self.metadata.mkdir(parents=True, exist_ok=True)
        draft = self.metadata / f".{name}.{secrets.token_hex(6)}"
        metadata.to_file(str(draft), SERIALIZER)
        _sync(draft)
        draft.replace(self.metadata / name)

    def _expiry(self, role: str) -> datetime:
        return datetime.now(UTC).replace(microsecond=0) + LIFETIMES[role]

    def _ageing(self, role: str, expires: datetime) -> bool:
        return expires - datetime.now(UTC) < LIFETIMES[role] / 2


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
