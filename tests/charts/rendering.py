"""Rendering the model-server chart with Helm's own engine, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "model-server"
# Exactly what the documented command sets.
COMMAND = "replicaCount=3,resources.requests.cpu=2000m,resources.requests.memory=8Gi,storage.size=100Gi"

Document = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """The documents of one rendering."""

    documents: list[Document]
    notes: str

    def one(self, kind: str, name: str | None = None) -> Document:
        """The only document of a kind, or the one of that name."""
        [found] = [d for d in self.documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]
        return found

    def kinds(self) -> list[str]:
        return sorted(document["kind"] for document in self.documents)

    @property
    def workload(self) -> Document:
        """The StatefulSet or the Deployment."""
        [found] = [d for d in self.documents if d["kind"] in ("StatefulSet", "Deployment")]
        return found

    @property
    def pod(self) -> Document:
        """The pod's specification."""
        spec: Document = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def server(self) -> Document:
        """The container that serves."""
        [found] = [c for c in self.pod["containers"] if c["name"] == "server"]
        return dict(found)

    @property
    def environment(self) -> dict[str, str]:
        """What the server's container is told."""
        [source] = self.server["envFrom"]
        data: dict[str, str] = self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return data


@cache
def render(*settings: str, kubernetes: str = "", name: str = "model-server") -> Release:
    """What `helm install NAME … --set SETTING…` would send; made once, so not to be changed. Raises HelmError."""
    chosen = ",".join([*settings, *([f"kubeVersionOverride={kubernetes}"] if kubernetes else [])])
    with helm.Chart.load(CHART) as chart:
        values = helm.parse_set_string(chosen) if chosen else {}
        files = chart.render(values, name=name, namespace="prod")
    documents = [
        document
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document
    ]
    return Release(documents, files["model-server/templates/NOTES.txt"])


def keys(value: Any) -> Iterator[str]:
    """Every key at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)
