"""A large artifact comes into memory once, in pieces: measured in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from governance.principals import Role
from inference.serving.artifacts import LoadError, again, artifact_in_memory, in_memory, read_artifact
from tests.factories.inference import make_version

CHECKOUT = Path(__file__).parents[3]
MIB = 1 << 20
SIZE = 192 * MIB
SLACK = 16 * MIB

# Linux counts the most that a process ever held (VmHWM); writing 5 to clear_refs begins the count anew.
MEASURED = """
import hashlib, json, os, sys
from pathlib import Path
from inference.serving.artifacts import artifact_in_memory, read_artifact

SIZE, BLOCK = int(sys.argv[2]), os.urandom(1 << 20)

class Generated:
    def copy_to(self, sink):
        for _ in range(SIZE >> 20):
            sink.write(BLOCK)
    def again(self):
        return self

def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

digest = hashlib.sha256()
for _ in range(SIZE >> 20):
    digest.update(BLOCK)
before = held("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
if sys.argv[1] == "bytes":
    size = len(read_artifact(Generated(), sha256=digest.hexdigest()))
else:
    with artifact_in_memory(Generated(), sha256=digest.hexdigest()) as file:
        size = os.fstat(file.fileno()).st_size
print(json.dumps({"size": size, "growth": held("VmHWM") - before}))
"""


@pytest.mark.parametrize(
    ("how", "most"),
    [("bytes", SIZE + SIZE // 8 + SLACK), ("file", SLACK)],  # the file's own pages are not the process's
)
def test_a_large_artifact_is_held_once(how, most):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, how, str(SIZE)],
        cwd=CHECKOUT,
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["size"] == SIZE
    assert found["growth"] < most


@pytest.mark.django_db
def test_a_sealed_artifact_passes_in_pieces(org, principal_for):
    """Opening seals holds a few chunks, however large the artifact is."""
    version = make_version(
        principal_for(org, Role.TENANT_ADMIN), artifact=bytes(48 * MIB), format="safetensors"
    )
    digest = hashlib.sha256()

    class Digesting:
        def write(self, piece):
            digest.update(piece)

    version.artifact.copy_to(Digesting())  # the first look loads keys and modules
    digest = hashlib.sha256()
    tracemalloc.start()
    try:
        version.artifact.copy_to(Digesting())
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == version.sha256
    assert most < 12 * MIB


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "artifact"
    path.write_bytes(b"x" * 3 * MIB)
    return path


@pytest.mark.parametrize("read", [read_artifact, artifact_in_memory])
def test_more_than_a_runtime_takes_is_refused_before_it_is_all_there(plain, read):
    with pytest.raises(LoadError, match="too large"):
        read(plain, sha256="0" * 64, most_bytes=MIB)


@pytest.mark.parametrize("read", [read_artifact, artifact_in_memory])
def test_other_bytes_and_missing_files_are_refused(plain, read):
    with pytest.raises(LoadError, match="sha256 differs"):
        read(plain, sha256="0" * 64)
    with pytest.raises(LoadError, match="cannot be read"):
        read(plain.with_name("nowhere"), sha256="0" * 64)


def test_both_ways_give_the_same_bytes(plain):
    sha256 = hashlib.sha256(plain.read_bytes()).hexdigest()
    with artifact_in_memory(plain, sha256=sha256) as file:
        file.seek(0)
        assert file.read() == read_artifact(again(plain), sha256=sha256) == plain.read_bytes()
    with in_memory(b"abc") as file:
        file.seek(0)
        assert file.read() == b"abc"
