"""What a repository folder means, and what it can never make the server read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.serving.standalone.manifest import BrokenEndpoint, Manifest, parse_manifest
from inference.serving.standalone.repository import Repository
from tests.factories import onnx_models
from tests.inference.serving.fake_site_values import DATATYPES
from tests.inference.serving.standalone.repositories import declare, digest, place, put

SIGNATURE = {
    "inputs": [onnx_models.tensor("x", "FP32", -1, 4)],
    "outputs": [onnx_models.tensor("y", "FP32", -1, 4)],
}


# --- endpoint.yaml -------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_broken(data: bytes):
    for name in ("endpoint.yaml", "config.json"):
        try:
            assert isinstance(parse_manifest(data, name=name), Manifest)
        except BrokenEndpoint as error:
            assert name in str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["versions", "inputs", "outputs", "weight", "sha256", "name", "datatype", "shape", "1"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=50)
@given(_JSON)
def test_any_document_is_a_manifest_or_broken(document: Any):
    try:
        manifest = parse_manifest(json.dumps(document).encode(), name="config.json")
    except BrokenEndpoint:
        return
    assert sum(entry.weight for entry in manifest.versions) == 100


@given(st.dictionaries(st.integers(0, 50).map(str), st.integers(0, 100), min_size=2, max_size=5))
def test_weights_make_a_hundred_or_the_endpoint_is_broken(weights: dict[str, int]):
    data = json.dumps({"versions": {version: {"weight": weight} for version, weight in weights.items()}})
    if sum(weights.values()) == 100:
        manifest = parse_manifest(data.encode(), name="config.json")
        assert {entry.version: entry.weight for entry in manifest.versions} == weights
    else:
        with pytest.raises(BrokenEndpoint, match="not 100"):
            parse_manifest(data.encode(), name="config.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("versions: {1.10: {}}", "in quotes"),
        ("versions: {../up: {}}", "must be a name"),
        ("versions: {true: {}}", "must be a name"),
        ('versions: {1: {weight: 50}, "1": {weight: 50}}', "named twice"),
        ("versions: {1: {weight: 100, sha: ab}}", "unknown key 'sha'"),
        ("versions: {1: {sha256: AB}}", "64 lower-case"),
        ("versions: {1: {sha256: }}", "64 lower-case"),
        ("versions: {1: {weight: true}}", "whole number of percent"),
        ("versions: {}", "1 to 32 versions"),
        ("versions: {1: }\ninputs: [{name: x, datatype: FP32, shape: [1]}]", "go together"),
        ("versions: {1: }\ninputs: [{name: x, datatype: FP9, shape: [1]}]\noutputs: []", "1 to 64 tensors"),
        ("a: &a [1]\nversions: *a", "aliases are not accepted"),
        ("!!python/object/apply:os.getcwd []", "cannot be read"),
        ("[" * 500, "cannot be read"),
        ("- versions", "must be a mapping"),
        ("versions: {1: }\nlatency_objective_ms: 0", "from 1 to 600000"),
        ("versions: {1: }\nlatency_objective_ms: true", "from 1 to 600000"),
        ("versions: {1: }\nlatency_objective_ms: 1.5", "from 1 to 600000"),
    ],
)
def test_a_mistake_is_named(text: str, said: str):
    with pytest.raises(BrokenEndpoint, match=r"endpoint\.yaml") as caught:
        parse_manifest(text.encode(), name="endpoint.yaml")
    assert said in str(caught.value)


def test_an_objective_is_the_endpoints_own_or_none(tmp_path: Path):
    put(tmp_path, "double", "1", factor=2)
    declare(tmp_path, "double", versions={"1": None}, latency_objective_ms=50)
    repository = Repository(tmp_path)
    quick = repository.read().endpoints["double"]
    assert quick.objective_s == 0.05
    declare(tmp_path, "double", versions={"1": None})
    usual = repository.read().endpoints["double"]
    assert usual.objective_s is None
    assert usual != quick, "a change of it alone is a change of the endpoint"


# --- The folder ----------------------------------------------------------------------------------------------------


def test_without_a_manifest_the_highest_number_answers(tmp_path: Path):
    put(tmp_path, "double", "9", factor=1)
    wanted = put(tmp_path, "double", "10", factor=2)
    (tmp_path / "double" / "drafts").mkdir()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "README").write_text("not an endpoint")
    contents = Repository(tmp_path).read()
    assert contents.broken == {}
    [endpoint] = contents.endpoints.values()
    [arm] = endpoint.arms
    assert (arm.version, arm.weight, arm.sha256) == ("10", 100, wanted.sha256)
    assert (arm.inputs, arm.outputs) == (wanted.inputs, wanted.outputs)


def test_the_signature_is_read_from_the_artifact_in_every_datatype(tmp_path: Path):
    folder = tmp_path / "all" / "1"
    folder.mkdir(parents=True)
    made = place(onnx_models.identity(folder, *DATATYPES))
    [arm] = Repository(tmp_path).read().endpoints["all"].arms
    assert (arm.inputs, arm.outputs) == (made.inputs, made.outputs)


def test_versions_with_weights_and_pinned_digests(tmp_path: Path):
    stable, canary = put(tmp_path, "double", "1.0.0"), put(tmp_path, "double", "1.1.0", factor=2)
    versions = {
        arm.version: {"weight": weight, "sha256": arm.sha256} for arm, weight in ((stable, 90), (canary, 10))
    }
    declare(tmp_path, "double", versions=versions, **SIGNATURE)
    read = Repository(tmp_path, require_digests=True).read()
    arms = read.endpoints["double"].arms
    assert [(arm.version, arm.weight, arm.sha256) for arm in arms] == [
        ("1.0.0", 90, stable.sha256),
        ("1.1.0", 10, canary.sha256),
    ]
    del versions["1.1.0"]["sha256"]
    declare(tmp_path, "double", versions=versions)
    assert "asks for" in Repository(tmp_path, require_digests=True).read().broken["double"]
    assert Repository(tmp_path).read().endpoints["double"].arms[1].sha256 == canary.sha256


def test_another_digest_than_declared_is_broken(tmp_path: Path):
    put(tmp_path, "double", "1")
    declare(tmp_path, "double", versions={"1": {"sha256": "0" * 64}})
    assert "not the declared one" in Repository(tmp_path).read().broken["double"]


def test_one_endpoint_has_one_signature(tmp_path: Path):
    put(tmp_path, "double", "1")
    folder = tmp_path / "double" / "2"
    folder.mkdir()
    place(onnx_models.affine(folder, width=5))
    declare(tmp_path, "double", versions={"1": {"weight": 50}, "2": {"weight": 50}})
    assert "different tensors" in Repository(tmp_path).read().broken["double"]


def test_other_bytes_or_another_signature_are_another_version(tmp_path: Path):
    repository = Repository(tmp_path)
    put(tmp_path, "double", "1")
    [before] = repository.read().endpoints["double"].arms
    assert repository.read().endpoints["double"].arms == (before,)
    put(tmp_path, "double", "1", factor=3)
    [after] = repository.read().endpoints["double"].arms
    assert after.version == before.version
    assert after.version_id != before.version_id
    assert after.sha256 == digest(tmp_path / "double" / "1" / "model.onnx")


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, "double", "1")
    repository = Repository(tmp_path)
    before = repository.read()
    monkeypatch.setattr(Path, "read_bytes", lambda _path: pytest.fail("read again"))
    assert repository.read() == before


@pytest.mark.parametrize("part", ["endpoint", "version", "artifact", "manifest"])
def test_nothing_outside_the_repository_is_read(tmp_path: Path, part: str):
    outside, root = tmp_path / "outside", tmp_path / "repository"
    put(outside, "double", "1")
    declare(outside, "double", versions={"1": {}})
    put(root, "double", "1")
    target, link = {
        "endpoint": (outside / "double", root / "linked"),
        "version": (outside / "double" / "1", root / "linked" / "1"),
        "artifact": (outside / "double" / "1" / "model.onnx", root / "linked" / "1" / "model.onnx"),
        "manifest": (outside / "double" / "endpoint.yaml", root / "linked" / "endpoint.yaml"),
    }[part]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))
    contents = Repository(root).read()
    assert "leads out of the repository" in contents.broken["linked"]
    assert list(contents.endpoints) == ["double"]


def test_links_inside_and_a_linked_root_are_followed(tmp_path: Path):
    """As git-sync and mounted ConfigMaps make them: the whole content is exchanged by one link."""
    for release, factor in (("r1", 1.0), ("r2", 2.0)):
        put(tmp_path / release, "real", "1", factor=factor)
        (tmp_path / release / "alias").symlink_to("real")
    current = tmp_path / "current"
    current.symlink_to("r1")
    repository = Repository(current)
    before = repository.read()
    assert sorted(before.endpoints) == ["alias", "real"]
    (tmp_path / "next").symlink_to("r2")
    os.replace(tmp_path / "next", current)
    assert repository.read().endpoints["real"] != before.endpoints["real"]


@pytest.mark.timeout(10)
def test_pipes_and_loops_keep_nobody_waiting(tmp_path: Path):
    for name in ("pipe", "pipe-manifest", "loop", "missing", "empty", "cut"):
        (tmp_path / name / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "1" / "model.onnx")
    os.mkfifo(tmp_path / "pipe-manifest" / "endpoint.yaml")
    (tmp_path / "loop" / "1" / "model.onnx").symlink_to("model.onnx")
    (tmp_path / "empty" / "1").rmdir()
    put(tmp_path, "cut", "1")
    artifact = tmp_path / "cut" / "1" / "model.onnx"
    artifact.write_bytes(artifact.read_bytes()[:-3])
    broken = Repository(tmp_path).read().broken
    assert "no plain file" in broken["pipe"] and "no plain file" in broken["pipe-manifest"]
    assert broken["loop"]
    assert "is not there" in broken["missing"]
    assert "neither endpoint.yaml nor" in broken["empty"]
    assert "no ONNX file" in broken["cut"]


def test_a_folder_that_cannot_be_read_is_an_error_and_not_an_empty_repository(tmp_path: Path):
    with pytest.raises(OSError):
        Repository(tmp_path / "gone").read()
