"""Every document of the chart against Kubernetes' own schemas, from 1.20 to the newest that there are."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest

from tests.charts.rendering import CHART, COMMAND, Document, keys, render

OLDEST_SCHEMA = "1.25"  # the oldest that the package carries
NEWEST = kubernetes_validate.latest_version()
VERSIONS = ("1.20", "1.22", "1.25", "1.27", "1.31", NEWEST)

OWN_DISKS = (COMMAND,)
IMAGE_AND_HPA = (
    "models.image.repository=registry.example.com/models,models.image.tag=7",
    "autoscaling.enabled=true",
    "image.digest=sha256:" + "a" * 64,
    "imagePullSecrets[0].name=registry",
)
EXPOSED = (
    "ingress.enabled=true,ingress.host=models.example.com,ingress.tlsSecret=cert,ingress.className=nginx",
    "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.release=prometheus",
    "networkPolicy.clients[0].namespaceSelector.matchLabels.team=bank",
    "networkPolicy.metrics[0].ipBlock.cidr=10.0.0.0/8",
    "podAnnotations.owner=team,podLabels.tier=gold,nodeSelector.disk=ssd,priorityClassName=high",
    "tolerations[0].key=models,tolerations[0].operator=Exists",
)
SHARED = ("storage.accessMode=ReadWriteMany,storage.storageClassName=nfs", "autoscaling.enabled=true")
CLAIM = (
    "storage.existingClaim=models,storage.accessMode=ReadOnlyMany",
    "auth.existingSecret=callers,tls.existingSecret=cert",
)
BARE = (
    "replicaCount=1,storage.existingClaim=models,auth.anonymous=true,metrics.enabled=false",
    "networkPolicy.enabled=false,podDisruptionBudget.enabled=false,serviceAccount.create=false",
    "security.runAsUser=null,security.runAsGroup=null,security.fsGroup=null",
)
FORMS = {
    "the command": OWN_DISKS,
    "defaults": (),
    "image": IMAGE_AND_HPA,
    "exposed": EXPOSED,
    "shared": SHARED,
    "claim": CLAIM,
    "bare": BARE,
}
# Newer than 1.20, so that an API server of then would refuse or drop them.
NEWER_THAN_1_20 = {
    *("unhealthyPodEvictionPolicy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals"),
    *(
        "matchLabelKeys",
        "minDomains",
        "nodeAffinityPolicy",
        "nodeTaintsPolicy",
        "hostUsers",
        "schedulingGates",
    ),
    *("grpc", "internalTrafficPolicy", "trafficDistribution", "endPort", "resizePolicy", "appArmorProfile"),
    *("containerResource", "supplementalGroupsPolicy", "dataSourceRef", "volumeAttributesClassName", "sleep"),
}


@cache
def _schema(filename: str, version: str) -> Any:
    return _load(filename, version)


_load = kubernetes_validate.utils.schema_contents


@pytest.fixture(autouse=True)
def schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", _schema)


def known_to(version: str, document: Document) -> Document:
    """The document as the oldest schema knows it, where the real one is older still.

    PodDisruptionBudget has the same fields in policy/v1beta1 (gone in 1.25) as in policy/v1.
    """
    if document["apiVersion"] == "policy/v1beta1":
        assert minor(version) < 21
        document = {**document, "apiVersion": "policy/v1"}
    return document


def minor(version: str) -> int:
    return int(version.split(".")[1])


@pytest.mark.parametrize("form", FORMS)
def test_every_document_is_valid_in_every_version(form: str):
    for version in VERSIONS:
        release = render(*FORMS[form], kubernetes=version)
        schema = version if minor(version) >= minor(OLDEST_SCHEMA) else OLDEST_SCHEMA
        for document in release.documents:
            if document["kind"] != "ServiceMonitor":  # Prometheus operator's, not Kubernetes'
                kubernetes_validate.validate(known_to(version, document), schema, strict=True)


def test_the_validation_itself_refuses_what_is_wrong():
    good = render(COMMAND).workload
    for path, value in ((("spec", "replica"), 3), (("spec", "replicas"), "three")):
        bad = copy.deepcopy(good)
        bad[path[0]][path[1]] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(bad, NEWEST, strict=True)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_newer_than_1_20_is_sent_to_1_20(form: str):
    release = render(*FORMS[form], kubernetes="1.20")
    assert not NEWER_THAN_1_20 & set(keys(release.documents))


@pytest.mark.parametrize("form", FORMS)
def test_versions_differ_in_nothing_but_what_they_must(form: str):
    def comparable(version: str) -> list[Document]:
        documents = [
            copy.deepcopy(document)
            for document in render(*FORMS[form], kubernetes=version).documents
            if document["kind"] != "Secret"  # its token is random
        ]
        for document in documents:
            if document["kind"] in ("PodDisruptionBudget", "HorizontalPodAutoscaler"):
                document["apiVersion"] = ""
                document["spec"].pop("unhealthyPodEvictionPolicy", None)
        return documents

    newest = comparable(NEWEST)
    assert all(comparable(version) == newest for version in VERSIONS)


@pytest.mark.parametrize(
    ("version", "budget", "scaler"),
    [
        ("1.20", "policy/v1beta1", "autoscaling/v2beta2"),
        ("v1.20.4-eks-6b7464", "policy/v1beta1", "autoscaling/v2beta2"),
        ("1.21", "policy/v1", "autoscaling/v2beta2"),
        ("v1.22.17+k3s1", "policy/v1", "autoscaling/v2beta2"),
        ("1.23", "policy/v1", "autoscaling/v2"),
        (NEWEST, "policy/v1", "autoscaling/v2"),
        ("", "policy/v1", "autoscaling/v2"),  # as Helm itself sees the cluster
    ],
)
def test_api_versions_follow_the_cluster(version: str, budget: str, scaler: str):
    release = render(*SHARED, kubernetes=version)
    assert release.one("PodDisruptionBudget")["apiVersion"] == budget
    assert release.one("HorizontalPodAutoscaler")["apiVersion"] == scaler


@pytest.mark.parametrize("version", ["1.20.0", "1.25.0", "1.34.0"])
@pytest.mark.parametrize("form", FORMS)
def test_lint_is_clean_whatever_the_cluster_says(version: str, form: str):
    values = helm.parse_set_string(",".join(FORMS[form])) if FORMS[form] else {}
    report = helm.lint(CHART, values, strict=True, kube_version=version)
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


def test_every_form_has_what_it_should():
    always = ["ConfigMap", "Pod", "Service", "Service"]
    safe = ["NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"]
    expected = {
        "the command": [*always, *safe, "Secret", "StatefulSet"],
        "image": [*always, *safe, "Secret", "StatefulSet", "HorizontalPodAutoscaler"],
        "exposed": [*always, *safe, "Secret", "StatefulSet", "Ingress", "ServiceMonitor"],
        "shared": [
            *always,
            *safe,
            "Secret",
            "Deployment",
            "HorizontalPodAutoscaler",
            "PersistentVolumeClaim",
        ],
        "claim": [*always, *safe, "Deployment"],
        "bare": [*always, "Deployment"],
    }
    for form, kinds in expected.items():
        assert render(*FORMS[form]).kinds() == sorted(kinds), form
