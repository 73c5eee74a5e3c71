"""`plugin.json`: an Agent Plugins 1.0.0 manifest with our extension `dev.openclaw`.

The standard's manifest is closed: an unknown top-level key is reported and ignored, any other violation is fatal.
Its schema is never fetched. What the standard leaves open (permissions, models, signatures of models) is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marketplace.catalog.findings import Finding, Severity, gettext_noop
from marketplace.catalog.manifest_rules import (
    EXTENSION,
    MANIFEST_NAME,
    MANIFEST_SCHEMA,
    MAX_MANIFEST_BYTES,
    ManifestError,
    validated,
)
from marketplace.catalog.risk import Risk, assess

DEFAULT_TIMEOUT_S = 5.0
DEFAULT_MEMORY_MB = 256

__all__ = [
    "EXTENSION",
    "MANIFEST_NAME",
    "MANIFEST_SCHEMA",
    "Manifest",
    "ManifestError",
    "ModelSpec",
    "Permissions",
    "SkillSpec",
    "TensorSpec",
    "parse_manifest",
    "read_manifest",
]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: Open Inference Protocol v2 datatype; -1 in `shape` is a size chosen per call."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form of the manifest and of the Open Inference Protocol."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model in the package: paths are relative to its root; `format` is `onnx` or `safetensors`."""

    name: str
    artifact: str
    format: str
    card: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class SkillSpec:
    """A callable skill: `entrypoint` is `skills/NAME/…/file.py:function`; time in seconds, memory in MiB."""

    name: str
    entrypoint: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    timeout_s: float = DEFAULT_TIMEOUT_S
    memory_mb: int = DEFAULT_MEMORY_MB

    @property
    def script(self) -> str:
        """The file of the entry point."""
        return self.entrypoint.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function of the entry point."""
        return self.entrypoint.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the plugin asks for; anything not named is denied."""

    network: tuple[str, ...] = ()
    files_read: tuple[str, ...] = ()
    files_write: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()

    def grants(self) -> tuple[str, ...]:
        """Return one string per right asked for, such as `network:api.example.com`, sorted; empty means none."""
        named = {
            "network": self.network,
            "files.read": self.files_read,
            "files.write": self.files_write,
            "secrets": self.secrets,
            "tools": self.tools,
        }
        return tuple(sorted(f"{kind}:{value}" for kind, values in named.items() for value in values))

    def as_json(self) -> dict[str, Any]:
        """Return the form of the manifest."""
        return {
            "network": {"allow": list(self.network)},
            "files": {"read": list(self.files_read), "write": list(self.files_write)},
            "secrets": list(self.secrets),
            "tools": list(self.tools),
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """A valid manifest. `notes` are findings that refuse nothing; `raw` is the JSON as it was read."""

    name: str
    version: str
    description: str
    license: str
    purpose: str
    data_labels: tuple[str, ...]
    permissions: Permissions
    models: tuple[ModelSpec, ...]
    skills: tuple[SkillSpec, ...]
    author: Mapping[str, str] = field(default_factory=dict)
    homepage: str = ""
    repository: str = ""
    keywords: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()
    sha256: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)

    def risk(self) -> Risk:
        """Return how much harm this version could do, judged from what it declares."""
        return assess(
            purpose=self.purpose,
            data_labels=self.data_labels,
            network=self.permissions.network,
            files_write=self.permissions.files_write,
            files_read=self.permissions.files_read,
            secrets=self.permissions.secrets,
            tools=self.permissions.tools,
        )


def parse_manifest(data: bytes) -> Manifest:
    """Parse and validate the bytes of a `plugin.json`; raise ManifestError with every problem found."""
    document, notes = validated(data)
    extension = document["extensions"][EXTENSION]
    asked = extension["permissions"]
    return Manifest(
        name=document["name"],
        version=document["version"],
        description=document["description"],
        license=document["license"],
        purpose=extension["purpose"],
        data_labels=tuple(extension["data_labels"]),
        permissions=Permissions(
            network=tuple(asked["network"]["allow"]),
            files_read=tuple(asked["files"]["read"]),
            files_write=tuple(asked["files"]["write"]),
            secrets=tuple(asked["secrets"]),
            tools=tuple(asked["tools"]),
        ),
        models=tuple(_model(item) for item in extension.get("models", ())),
        skills=tuple(_skill(item) for item in extension.get("skills", ())),
        author=document.get("author", {}),
        homepage=document.get("homepage", ""),
        repository=document.get("repository", ""),
        keywords=tuple(document.get("keywords", ())),
        notes=tuple(notes),
        sha256=hashlib.sha256(data).hexdigest(),
        raw=document,
    )


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(item["name"], item["datatype"], tuple(item["shape"])) for item in items)


def _model(item: dict[str, Any]) -> ModelSpec:
    return ModelSpec(
        name=item["name"],
        artifact=item["artifact"],
        format=item["format"],
        card=item["card"],
        inputs=_tensors(item["inputs"]),
        outputs=_tensors(item["outputs"]),
    )


def _skill(item: dict[str, Any]) -> SkillSpec:
    return SkillSpec(
        name=item["name"],
        entrypoint=item["entrypoint"],
        input_schema=item["input_schema"],
        output_schema=item["output_schema"],
        timeout_s=float(item.get("timeout_s", DEFAULT_TIMEOUT_S)),
        memory_mb=item.get("memory_mb", DEFAULT_MEMORY_MB),
    )


def read_manifest(folder: Path) -> Manifest:
    """Parse the manifest of the unpacked package in `folder` and check that the files it names are there.

    Raises ManifestError; also when `plugin.json` is missing.
    """
    path = folder / MANIFEST_NAME
    if path.is_symlink() or not path.is_file():
        raise ManifestError(
            [
                Finding(
                    "manifest.missing",
                    Severity.CRITICAL,
                    gettext_noop(
                        "There is no plugin.json at the top of the archive. Pack the folder that holds it."
                    ),
                    path=MANIFEST_NAME,
                )
            ]
        )
    with path.open("rb") as file:
        manifest = parse_manifest(file.read(MAX_MANIFEST_BYTES + 1))
    missing = [*_missing_files(manifest, folder)]
    if missing:
        raise ManifestError(missing)
    return manifest


def _missing_files(manifest: Manifest, folder: Path) -> list[Finding]:
    named = [path for model in manifest.models for path in (model.artifact, model.card)]
    for skill in manifest.skills:
        named += [skill.script, f"skills/{skill.name}/SKILL.md"]
    root = folder.resolve()
    findings = []
    for path in dict.fromkeys(named):
        target = folder / path
        inside = target.resolve().is_relative_to(root)
        if not inside or target.is_symlink() or not target.is_file():
            message = gettext_noop(
                "“%(file)s” is named in plugin.json but not in the package. Add it or correct the path."
            )
            findings.append(
                Finding(
                    "manifest.file-missing", Severity.CRITICAL, message, {"file": path}, path=MANIFEST_NAME
                )
            )
    return findings
