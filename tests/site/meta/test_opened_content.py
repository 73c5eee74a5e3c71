"""Wherever the product opens sealed content, somebody was asked, the house keeps its reading, or there is a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.meta.product import AREAS, CHECKOUT, sources

# What opens sealed content by its name alone.
OPENERS = {
    "artifact_in_memory",
    "content_of",
    "copy_to",
    "open_sealed",
    "opened",
    "opened_json",
    "opened_text",
    "read_artifact",
    "unseal",
    "unseal_for_platform",
    "unseal_stream",
}
# What opens it where the module has to do with sealed files at all.
METHODS = {"open", "read_bytes", "open_raw"}
SEALED = {
    "EarlierFiles",
    "JobFile",
    "SealedArtifact",
    "SealedPath",
    "SealedStorage",
    "UploadedArchive",
    "Openable",
    "Readable",
    "artifact_path",
    "earlier_folder",
    "input_path",
    "new_input",
    "result_path",
    "segments_path",
    "shard_path",
}  # The decision point keeps each yes to a reading; the house's own are kept by the last two.
KEEPING = {"keep_house_read", "record_read", "_record_reading"}
KEPT_BY = {"require", *KEEPING}

ARTIFACT = "through SealedArtifact.copy_to, which keeps it"
BATCH = "a part of planning, computing or joining, which keep it before"
CALLER = "hands an open file to its callers, which are found themselves"
PLAIN = "a plain file: no catalogue knows it"
SECRET = "a secret of the house, no data: it has no label"
UPLOAD = "a partner's upload, which has no label: no entry while it is checked, and once published anybody may read it"

REASONS: dict[str, str] = {
    "governance/access/hub_sockets.py:connect": "a socket is opened, no file",
    "governance/data/datasets.py:_content": CALLER,
    "governance/data/datasets.py:opened_earlier": CALLER,
    "governance/identity/mfa.py:decrypt": SECRET,
    "governance/identity/services/providers.py:secret_of": SECRET,
    "governance/oversight/withholding.py:_content": "whom it is shown to was asked for by both its callers",
    "inference/registry/artifacts.py:_only": PLAIN + ", before it is sealed",
    "inference/registry/artifacts.py:is_intact": "nothing leaves it but whether the digest is right",
    "inference/registry/artifacts.py:open": CALLER,
    "inference/registry/artifacts.py:read_bytes": ARTIFACT,
    "inference/registry/artifacts.py:store_artifact": PLAIN + ", before it is sealed",
    "inference/serving/artifacts.py:_fill": ARTIFACT,
    "inference/serving/batch/fetching.py:fetch": "through datasets.content_of, which keeps it",
    "inference/serving/batch/files.py:open": CALLER,
    "inference/serving/batch/files.py:read_bytes": CALLER,
    "inference/serving/batch/joining.py:_parts": BATCH,
    "inference/serving/batch/planning.py:_cut_parquet": BATCH,
    "inference/serving/batch/reading.py:read_header": BATCH,
    "inference/serving/batch/reading.py:read_rows": BATCH,
    "inference/serving/batch/worker.py:_source": BATCH,
    "inference/serving/isolated.py:__init__": ARTIFACT,
    "inference/serving/patterns.py:load": ARTIFACT,
    "inference/serving/remote.py:load": ARTIFACT,
    "inference/serving/residency.py:_host": ARTIFACT,
    "inference/serving/runtime.py:load": ARTIFACT,
    "inference/serving/standalone/repository.py:_artifact": PLAIN,
    "inference/serving/standalone/repository.py:_manifest": PLAIN,
    "inference/serving/torch_runtime.py:load": ARTIFACT,
    "marketplace/catalog/package.py:_read": UPLOAD,
    "marketplace/catalog/package.py:_read_file": UPLOAD,
    "marketplace/catalog/package.py:pack": PLAIN,
    "marketplace/catalog/quarantine.py:open": UPLOAD,
    "marketplace/distribution/repository.py:_store": UPLOAD,
    "marketplace/distribution/repository.py:_sync": PLAIN,
    "marketplace/distribution/repository.py:add": UPLOAD,
    "marketplace/distribution/repository.py:trusted_root": PLAIN,
    "marketplace/review/api.py:content": UPLOAD,
    "marketplace/review/archives.py:_entries": UPLOAD,
    "marketplace/review/checks/base.py:read_start": UPLOAD,
    "marketplace/review/views.py:_files": UPLOAD,
}


def opening() -> Iterator[tuple[str, bool]]:
    """Each function that opens sealed content, as `path:name`, and whether it keeps that or asks."""
    for path in sources(*AREAS):
        if path.is_relative_to(CHECKOUT / "governance" / "keys"):
            continue
        yield from opened_in(path)


def opened_in(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    wanted = OPENERS | (METHODS if names & SEALED else set())
    where = path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path.name
    for function in _functions(tree):
        called = {_called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}
        # `file.open` may be handed on without being called.
        called |= {
            node.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and node.attr in METHODS
        }
        if called & (wanted | KEEPING):
            yield f"{where}:{function.name}", bool(called & KEPT_BY)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods; those within a function count as part of it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from _functions(node)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_whoever_opens_sealed_content_was_asked_or_keeps_it():
    found = dict(opening())
    loose = {where for where, kept in found.items() if not kept}
    assert loose == set(REASONS), (
        "Call governance.data.house_reads.keep_house_read before the bytes are used, or say in REASONS why not; "
        "take out of REASONS what opens nothing any more, or keeps it."
    )


def test_the_house_keeps_its_readings_in_every_subject_that_holds_data():
    keeping = {where.partition(":")[0] for where, kept in opening() if kept}
    assert keeping >= {
        "governance/data/datasets.py",
        "inference/registry/artifacts.py",
        "inference/serving/batch/api.py",
        "inference/serving/batch/joining.py",
        "inference/serving/batch/planning.py",
        "inference/serving/batch/worker.py",
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(p: SealedPath):\n    return p.open()", [("module.py:f", False)]),
        ("def f(p: SealedPath):\n    return each(p.open)", [("module.py:f", False)]),
        ("def f(row):\n    return columns.opened(row, 'x')", [("module.py:f", False)]),
        ("def f(v: SealedPath):\n    keep_house_read(v)\n    return v.read_bytes()", [("module.py:f", True)]),
        ("def f(path):\n    return path.open()", []),
    ],
)
def test_a_new_place_would_be_found(source, found, tmp_path):
    (tmp_path / "module.py").write_text(source)
    assert list(opened_in(tmp_path / "module.py")) == found
