"""Fetching a published plugin like anybody would: with the stock TUF client, and not trusting the site."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.ngclient import Updater

from openclaw_site.demo.steps import Step, StepFailed
from openclaw_site.demo.world import World


def fetch(step: Step, world: World, target: str, *, sha256: str) -> Path:
    """Download and verify `target`, which must be the very bytes that the partner packed."""
    path = _download(world, target, folder=world.folder / "downloads")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    step.expect(
        digest == sha256, f"tuf.ngclient: {target} verified, sha256 {digest[:16]}… as packed", seen=digest
    )
    return path


def refuse_tampered(step: Step, world: World, target: str) -> None:
    """A client that was given another trusted root believes nothing of what this site serves."""
    root = (world.config.var / "tuf" / "metadata" / "1.root.json").read_bytes()
    forged = root.replace(b'"sig": "', b'"sig": "00', 1)
    try:
        _download(world, target, folder=world.folder / "downloads-forged", root=forged)
    except (RepositoryError, ValueError) as error:
        step.saw(f"with a forged root the client refuses everything: {type(error).__name__}")
        return
    raise StepFailed("the TUF client accepted a forged root")


def _download(world: World, target: str, *, folder: Path, root: bytes | None = None) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "metadata").mkdir(parents=True)
    # The trusted root comes on another way than the downloads: here from the operator's disk.
    trusted = root or (world.config.var / "tuf" / "metadata" / "1.root.json").read_bytes()
    updater = Updater(
        metadata_dir=str(folder / "metadata"),
        metadata_base_url=f"{world.url}/tuf/metadata/",
        target_dir=str(folder),
        target_base_url=f"{world.url}/tuf/targets/",
        bootstrap=trusted,
    )
    updater.refresh()
    info = updater.get_targetinfo(target)
    if info is None:
        raise StepFailed(f"the signed repository has no {target}")
    return Path(updater.download_target(info))
