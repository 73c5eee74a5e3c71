"""The values: every one described, wrong ones refused by name, and combinations that could not work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
import yaml

from tests.charts.rendering import CHART, COMMAND, ROOT, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted name; an empty mapping or list is a value."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replicas=3", "replicas"),
        ("replicaCount=0", "replicaCount"),
        ("replicaCount=three", "replicaCount"),
        ("replicaCount=1.5", "replicaCount"),
        ("storage.size=100", "storage/size"),
        ("storage.size=-1Gi", "storage/size"),
        ("storage.size=100 Gi", "storage/size"),
        ("storage.accessMode=ReadWrite", "storage/accessMode"),
        ("storage.claim=x", "storage"),
        ("resources.requests.cpu=2 cores", "resources/requests/cpu"),
        ("resources.requests.cpu=0.00001", "resources/requests/cpu"),
        ("resources.requests.memory=8GB", "resources/requests/memory"),
        ("resources.requests.memory=null", "resources/requests"),
        ("resources.request.memory=8Gi", "resources"),
        ("resources.limits.gpus=1", "resources/limits"),
        ("image.digest=latest", "image/digest"),
        ("image.tag=a b", "image/tag"),
        ("server.maxBodyMiB=0", "server/maxBodyMiB"),
        ("server.drainSeconds=-1", "server/drainSeconds"),
        ("auth.token=secret", "auth"),
        ("auth.anonymous=yes", "auth/anonymous"),
        ("security.runAsUser=0", "security/runAsUser"),
        ("service.port=70000", "service/port"),
        ("service.type=ExternalName", "service/type"),
        ("podDisruptionBudget.maxUnavailable=0", "podDisruptionBudget/maxUnavailable"),
        ("networkPolicy.clients[0].labels.a=b", "networkPolicy/clients/0"),
        ("ingress.host=https://example.com", "ingress/host"),
        ("kubeVersionOverride=latest", "kubeVersionOverride"),
        ("metrics.serviceMonitor.interval=often", "metrics/serviceMonitor/interval"),
        ("fullnameOverride=Model_Server", "fullnameOverride"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, said: str):
    with pytest.raises(helm.HelmError) as caught:
        render(COMMAND, setting)
    assert f"/{said}'" in str(caught.value) or f"'{said}'" in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        "resources.requests.cpu=2",
        "resources.requests.cpu=0.5",
        "resources.requests.memory=8589934592",
        "resources.limits.nvidia\\.com/gpu=1",
        "podDisruptionBudget.maxUnavailable=30%",
        "kubeVersionOverride=v1.29.3-gke.1282001",
        "storage.storageClassName=-",
        "global.region=eu",
    ],
)
def test_what_kubernetes_takes_is_taken(setting: str):
    assert render(COMMAND, setting).documents


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("replicaCount=3,storage.existingClaim=models", "cannot share a ReadWriteOnce claim"),
        (
            "replicaCount=1,autoscaling.enabled=true,storage.existingClaim=models",
            "cannot share a ReadWriteOnce",
        ),
        ("storage.accessMode=ReadOnlyMany", "stays empty"),
        ("autoscaling.enabled=true", "would have an empty disk"),
        ("models.image.repository=models", "needs a tag or a digest"),
        ("models.image.repository=m,models.image.tag=1,storage.accessMode=ReadWriteMany", "own disk"),
        ("auth.anonymous=true,auth.existingSecret=x", "exclude each other"),
        ("ingress.enabled=true", "must name the host"),
        ("ingress.enabled=true,ingress.host=a.example.com", "plain http"),
        ("metrics.enabled=false,metrics.serviceMonitor.enabled=true", "needs metrics.enabled"),
        (
            "storage.accessMode=ReadWriteMany,autoscaling.enabled=true,autoscaling.minReplicas=20",
            "larger than autoscaling.maxReplicas",
        ),
    ],
)
def test_what_would_install_and_not_work_is_refused_with_what_to_do(settings: str, said: str):
    with pytest.raises(helm.HelmError, match=re.escape(said)):
        render(settings)


def test_one_pod_may_use_an_ordinary_claim_and_is_not_updated_beside_itself():
    release = render("replicaCount=1,storage.existingClaim=models")
    assert release.workload["spec"]["strategy"] == {"type": "Recreate"}


def test_the_schema_and_the_defaults_have_the_same_keys():
    with helm.Chart.load(CHART) as chart:
        schema = chart.schema
        chart.validate_schema({})
    assert schema is not None

    def declared(part: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, inner in part.get("properties", {}).items():
            name = f"{path}.{key}" if path else key
            if inner.get("properties") and name not in free:
                assert inner["additionalProperties"] is False, name
                yield from declared(inner, name)
            else:
                yield name

    free = {"affinity", "resources.limits"}  # empty by default
    assert {*declared(schema)} - {"global"} == {name for name, _value in leaves(VALUES)}


def test_the_readme_has_every_value_with_its_default():
    rows = dict(re.findall(r"^\| `([^`]+)` \| `([^|]*)` \|", (CHART / "README.md").read_text(), re.MULTILINE))
    shown = {name: yaml.safe_load(default) for name, default in rows.items()}
    assert shown == dict(leaves(VALUES))


def test_the_documented_command_is_the_one_that_is_tested():
    sets = " ".join(
        f'--set {key}="{value}"' if key != "replicaCount" else f"--set {key}={value}"
        for key, value in (setting.split("=") for setting in COMMAND.split(","))
    )
    command = f"helm install model-server ./charts/model-server {sets}"
    for document in ("charts/model-server/README.md", "docs/operator.md"):
        text = re.sub(r"\s*\\\n\s*", " ", (ROOT / document).read_text())
        assert command in text, document


# --- The image -----------------------------------------------------------------------------------------------------


def test_the_image_is_not_root_and_takes_nothing_but_what_it_names():
    folder = ROOT / "deploy" / "model-server"
    text = (folder / "Dockerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert [line.split()[1] for line in lines if line.startswith("USER")] == ["10001:10001"]
    assert VALUES["security"]["runAsUser"] == 10001
    copied = {
        name
        for line in lines
        if line.startswith("COPY") and "--from" not in line
        for name in line.split()[1:-1]
    }
    let_in = {
        line[1:]
        for line in (folder / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    locked = {line.split("==")[0].lower() for line in (ROOT / "requirements.lock").read_text().splitlines()}
    wanted = (folder / "requirements.in").read_text().splitlines()
    assert {line.split("[")[0].lower() for line in wanted if not line.startswith("#")} <= locked
