"""What the product writes is sealed, or there is a written reason; and whatever is sealed can be written anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from governance.keys import rewriting, sweeping
from governance.keys.storage import StorageCollection
from tests.site.meta.product import AREAS, CHECKOUT, sources

# Modules that write files by themselves, and why what they write needs no seal. Everything else goes through
# `governance.keys.storage.SealedStorage`.
WRITERS: dict[str, str] = {
    "governance/keys/places.py": "puts on the disk what the sealed storage gives it, which is sealed",
    "governance/keys/providers/software.py": "the keys themselves, mode 0600: there is nothing above them to seal with",
    "governance/audit/management/commands/audit_export.py": "an auditor's export to a file that the auditor names",
    "governance/ethics/management/commands/ethics_bundle.py": "an officer's export to a file that the officer names",
    "governance/ethics/bundles/signing.py": "makes a ZIP in memory",
    "inference/registry/services.py": "the operator's descriptor of another server, for a moment in a private folder",
    "inference/serving/child.py": "its own score for the kernel's out-of-memory killer",
    "inference/serving/artifacts.py": "an artifact in memory (memfd_create) that a child inherits; it reaches no disk",
    "marketplace/catalog/package.py": "unpacks plugins into private folders while they are checked, and packs them",
    "marketplace/distribution/repository.py": "the signed repository of published plugins, which anybody may read",
    "skills/library/bundles.py": "unpacked published plugins, which the sandbox must see as files; checked by digest",
    "skills/runtime/cgroups.py": "limits, written to the kernel's control groups",
    "skills/runtime/inside/runner.py": "inside the sandbox: its answers' pipe, and a probe that writing is refused",
}

WRITING_CALLS = {
    "write_bytes",
    "write_text",
    "mkstemp",
    "NamedTemporaryFile",
    "copyfile",
    "copy",
    "copy2",
    "move",
}
WRITING_NAMES = {"FileField", "ImageField", "default_storage", "FileSystemStorage"}
SHUTIL = {"copyfile", "copy", "copy2", "move"}


def writes(path: Path) -> bool:
    """Whether a module opens a file for writing, or uses a storage that seals nothing."""
    tree = ast.parse(path.read_text("utf-8"))
    return any(_writes(node) for node in ast.walk(tree))


def _writes(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and node.attr in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND"):
        return True
    if isinstance(node, ast.Name) and node.id in WRITING_NAMES:
        return True
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if called == "FileField" and isinstance(owner, ast.Name):
        return owner.id == "models"
    if called in WRITING_CALLS:
        return called not in SHUTIL or (isinstance(owner, ast.Name) and owner.id == "shutil")
    if called in ("open", "fdopen", "ZipFile", "TarFile"):
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        return any(
            isinstance(value, ast.Constant) and isinstance(value.value, str) and _is_writing(value.value)
            for value in given
        )
    return False


def _is_writing(mode: str) -> bool:
    return len(mode) <= 3 and set(mode) <= set("rwaxbt+") and bool(set(mode) & set("wax+"))


def test_nothing_writes_files_past_the_sealed_storage():
    found = {str(path.relative_to(CHECKOUT)) for path in sources(*AREAS) if writes(path)}
    assert found == set(WRITERS), (
        "Write tenants' bytes with governance.keys.storage.SealedStorage, or say in WRITERS why not; "
        "take out of WRITERS what no longer writes."
    )


@pytest.mark.parametrize(
    "source",
    [
        "open(path, 'wb')",
        "path.open(mode='a')",
        "path.write_bytes(b'')",
        "os.open(path, os.O_CREAT)",
        "tempfile.mkstemp()",
        "shutil.copyfile(a, b)",
        "models.FileField()",
        "default_storage.save(name, file)",
    ],
)
def test_a_new_writer_would_be_found(source, tmp_path):
    (tmp_path / "module.py").write_text(source)
    assert writes(tmp_path / "module.py")


@pytest.mark.parametrize(
    "source", ["open(path)", "path.open('rb')", "dict.copy()", "serializers.FileField()"]
)
def test_reading_is_not_writing(source, tmp_path):
    (tmp_path / "module.py").write_text(source)
    assert not writes(tmp_path / "module.py")


SEALING = {
    "seal",
    "seal_for_platform",
    "seal_stream",
    "sealed",
    "sealed_text",
    "sealed_json",
    "SealedStorage",
}


def purposes() -> Iterator[tuple[str, str]]:
    """Where something is sealed, and the purpose of its data key."""
    for path in sources("governance", "inference", "skills", "marketplace", "openclaw_site"):
        if path.is_relative_to(CHECKOUT / "governance" / "keys"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if called in SEALING and "purpose" in given:
                value = given["purpose"]
                said = (
                    value.value
                    if isinstance(value, ast.Constant)
                    else constants.get(getattr(value, "id", ""))
                )
                yield str(path.relative_to(CHECKOUT)), str(said)


def test_files_that_no_row_answers_for_are_swept_in_every_storage():
    kept = {c.storage.root(UUID(int=0)) for c in rewriting.collections() if isinstance(c, StorageCollection)}
    swept = {files.storage.root(UUID(int=0)) for files in sweeping.registered()}
    assert len(kept) >= 4
    assert swept == kept, "Register SweptFiles (governance.keys.sweeping.register) in the app's ready()."


def test_every_purpose_has_a_collection_that_is_written_anew():
    used = dict(purposes())
    assert set(used.values()) >= {
        "artifact",
        "batch",
        "dataset",
        "identity-provider",
        "plugin-upload",
        "second-factor",
    }
    registered = {collection.purpose for collection in rewriting.collections()}
    assert set(used.values()) == registered, (
        "Register a SealedCollection (governance.keys.rewriting.register) for every purpose, "
        "in the app's ready(); purposes are constants of the module that seals."
    )
