"""What the chart's documents say to each other and to the server: names that agree, rights that are missing."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from click.testing import CliRunner

from inference.serving.standalone import server as standalone
from inference.serving.standalone.tokens import TENANT, TokenFile
from openclaw_site.cli.model_server import model_server
from tests.charts.rendering import CHART, COMMAND, Document, Release, render
from tests.charts.test_kubernetes import BARE, CLAIM, EXPOSED, FORMS, IMAGE_AND_HPA, SHARED

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def pods(release: Release) -> list[Document]:
    return [release.pod, release.one("Pod")["spec"]]


def test_the_command_asks_for_exactly_what_it_says():
    release = render(COMMAND)
    workload = release.workload
    assert workload["kind"] == "StatefulSet", "three pods on ordinary storage cannot share one disk"
    assert workload["spec"]["replicas"] == 3
    requests = release.server["resources"]["requests"]
    assert (requests["cpu"], requests["memory"]) == ("2000m", "8Gi")
    [template] = workload["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "100Gi"
    assert template["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert workload["metadata"]["name"] == "model-server"


def test_memory_is_limited_to_its_request_and_never_to_less():
    """A fixed default limit would make the documented command's request of 8Gi invalid."""
    assert render(COMMAND).server["resources"]["limits"] == {"memory": "8Gi"}
    limits = render(COMMAND, "resources.limits.memory=12Gi,resources.limits.cpu=4").server["resources"][
        "limits"
    ]
    assert limits == {"memory": "12Gi", "cpu": "4"}


@pytest.mark.parametrize("form", FORMS)
def test_every_pod_keeps_the_restricted_standard_and_more(form: str):
    for pod in pods(render(*FORMS[form])):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(
            {*volume} - {"name"} <= {"secret", "emptyDir", "persistentVolumeClaim"}
            for volume in pod.get("volumes", [])
        )
        for container in containers(pod):
            security = container["securityContext"]
            assert security["runAsNonRoot"] is security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is security["privileged"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_only_what_the_server_must_not_do_is_done_beside_it():
    """The process that answers the network cannot write its own models."""
    for form in FORMS.values():
        release = render(*form)
        mounts = {mount["name"]: mount for mount in release.server["volumeMounts"]}
        assert mounts["models"]["readOnly"] is True
        assert mounts["tmp"]["mountPath"] == "/tmp"
        declared = {volume["name"] for volume in release.pod["volumes"]}
        declared |= {c["metadata"]["name"] for c in release.workload["spec"].get("volumeClaimTemplates", [])}
        for container in containers(release.pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= declared
    names = lambda *settings: [c["name"] for c in containers(render(*settings).pod)]  # noqa: E731
    assert names(COMMAND) == ["server", "loader"]
    assert names(COMMAND, "models.loader.enabled=false") == ["server"]
    assert names(*IMAGE_AND_HPA) == ["models", "server"]
    assert names(*SHARED) == ["server", "loader"]
    assert names(*CLAIM) == ["server"]


@pytest.mark.parametrize("tag", ["7", "20240101", "1.10", "v1.0.0-rc.1"])
def test_a_tag_stays_as_it_is_written(tag: str):
    release = render(f"image.tag={tag},models.image.repository=m,models.image.tag={tag}")
    assert release.server["image"] == f"openclaw/model-server:{tag}"
    assert release.pod["initContainers"][0]["image"] == f"m:{tag}"
    pinned = render(f"image.tag={tag},image.digest=sha256:{'a' * 64}").server["image"]
    assert pinned == f"openclaw/model-server@sha256:{'a' * 64}"


def test_numbers_of_a_values_file_are_written_out():
    values = helm.values_from_yaml(
        "{image: {tag: 20240101}, resources: {requests: {memory: 8589934592, cpu: 1.5}}}"
    )
    with helm.Chart.load(CHART) as chart:
        text = chart.render(values, name="model-server")["model-server/templates/statefulset.yaml"]
    assert 'image: "openclaw/model-server:20240101"' in text
    assert text.count('memory: "8589934592"') == 2
    assert 'cpu: "1.5"' in text


def test_numbers_of_the_account_can_be_left_to_the_cluster():
    assert render(COMMAND).pod["securityContext"]["runAsUser"] == 10001
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & render(*BARE).pod["securityContext"].keys()


@pytest.mark.parametrize("form", FORMS)
def test_selectors_find_the_servers_and_nothing_else(form: str):
    release = render(*FORMS[form])
    labels = release.workload["spec"]["template"]["metadata"]["labels"]
    strange = release.one("Pod")["metadata"]["labels"]
    selectors = [release.workload["spec"]["selector"]["matchLabels"]]
    selectors += [d["spec"]["selector"] for d in release.documents if d["kind"] == "Service"]
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        selectors += [d["spec"][key]["matchLabels"] for d in release.documents if d["kind"] == kind]
    spread = release.pod["topologySpreadConstraints"]
    selectors += [constraint["labelSelector"]["matchLabels"] for constraint in spread]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= strange.items()


@pytest.mark.parametrize("form", FORMS)
def test_names_that_refer_to_each_other_agree(form: str):
    release = render(*FORMS[form], name="bank")
    ports = {port["name"]: port["containerPort"] for port in release.server["ports"]}
    assert str(ports["http"]) == release.environment["OPENCLAW_MODEL_SERVER_PORT"]
    assert str(ports.get("metrics", "")) == release.environment.get("OPENCLAW_MODEL_SERVER_METRICS_PORT", "")
    services = {d["metadata"]["name"]: d for d in release.documents if d["kind"] == "Service"}
    for service in services.values():
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()
    for probe in PROBES:
        assert release.server[probe]["httpGet"]["port"] in ports
    if release.workload["kind"] == "StatefulSet":
        assert services[release.workload["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"
    for document in release.documents:
        if document["kind"] == "HorizontalPodAutoscaler":
            target = document["spec"]["scaleTargetRef"]
            workload = release.workload
            assert (target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"])
            assert "replicas" not in workload["spec"], "Helm and the autoscaler must not fight over them"
        if document["kind"] == "Ingress":
            [path] = document["spec"]["rules"][0]["http"]["paths"]
            assert path["backend"]["service"]["name"] in services
            assert path["path"] == "/v2"
        if document["kind"] == "NetworkPolicy":
            assert document["spec"]["egress"] == []
            assert sorted(document["spec"]["policyTypes"]) == ["Egress", "Ingress"]
            assert {p["port"] for rule in document["spec"]["ingress"] for p in rule["ports"]} <= {
                *ports.values()
            }
            assert all(rule["from"] for rule in document["spec"]["ingress"]), "an empty list would admit all"
    if release.workload["spec"]["template"]["spec"]["serviceAccountName"] != "default":
        assert release.one("ServiceAccount")["automountServiceAccountToken"] is False


def test_the_monitor_finds_the_service_with_the_metrics():
    release = render(*EXPOSED)
    monitor = release.one("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [
        d for d in release.documents if d["kind"] == "Service" and wanted <= d["metadata"]["labels"].items()
    ]
    assert [service["metadata"]["name"] for service in found] == ["model-server-pods"]
    assert monitor["spec"]["endpoints"][0]["port"] in {p["name"] for p in found[0]["spec"]["ports"]}


def test_a_pod_has_time_to_finish():
    release = render(COMMAND, "server.preStopSeconds=7,server.drainSeconds=120")
    assert release.server["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "7"]
    assert release.pod["terminationGracePeriodSeconds"] > 7 + 120
    assert release.environment["OPENCLAW_MODEL_SERVER_DRAIN"] == "120"


def test_other_settings_are_other_pods_and_a_new_chart_version_alone_is_not_another_selector():
    checksum = lambda *settings: render(*settings).workload["spec"]["template"]["metadata"]["annotations"]  # noqa: E731
    assert checksum(COMMAND) == checksum(COMMAND, "replicaCount=2")
    assert checksum(COMMAND) != checksum(COMMAND, "server.maxBodyMiB=64")
    assert "helm.sh/chart" not in render(COMMAND).workload["spec"]["selector"]["matchLabels"]


# --- The server that the chart starts ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_server_understands_what_the_chart_tells_it(form: str, monkeypatch: pytest.MonkeyPatch):
    started: list[standalone.Options] = []
    monkeypatch.setattr(standalone, "serve", started.append)
    release = render(*FORMS[form])
    ran = CliRunner().invoke(model_server, env=release.environment)
    assert ran.exit_code == 0, ran.output
    [options] = started
    mounts = {mount["name"]: mount["mountPath"] for mount in release.server["volumeMounts"]}
    assert options.repository.is_relative_to(mounts["models"])
    assert options.allow_anonymous is (options.tokens is None) is ("tokens" not in mounts)
    if options.tokens is not None:
        assert str(options.tokens.parent) == mounts["tokens"]
    files = [options.tls_certificate, options.tls_key]
    assert [path and str(path.parent) for path in files] == [mounts.get("tls")] * 2
    schemes = {release.server[probe]["httpGet"]["scheme"] for probe in PROBES}
    assert schemes == {"HTTPS" if "tls" in mounts else "HTTP"}
    assert not options.require_digests and not options.tolerate_broken
    known = {parameter.envvar for parameter in model_server.params}
    assert release.environment.keys() <= known


def test_switches_reach_the_server(monkeypatch: pytest.MonkeyPatch):
    started: list[standalone.Options] = []
    monkeypatch.setattr(standalone, "serve", started.append)
    switched = (
        "server.requireDigests=true,server.tolerateBroken=true,server.maxBodyMiB=64,server.pollSeconds=0.5"
    )
    CliRunner().invoke(model_server, env=render(switched).environment, catch_exceptions=False)
    [options] = started
    assert options.require_digests and options.tolerate_broken
    assert (options.limits.body_bytes, options.poll_s) == (64 * 1024 * 1024, 0.5)


def test_the_generated_token_is_good_and_stays_out_of_the_pod(tmp_path: Path):
    release = render(COMMAND)
    secret = release.one("Secret")
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    (tmp_path / "tokens").write_text(data["tokens"])
    caller = TokenFile(tmp_path / "tokens").caller(data["token"])
    assert caller is not None
    assert caller.endpoints is None and caller.principal.tenant_id == TENANT
    assert len(data["token"]) == 43
    other = render(COMMAND, "replicaCount=2").one("Secret")["data"]["token"]
    assert data["token"] != base64.b64decode(other).decode()
    [volume] = [v["secret"] for v in release.pod["volumes"] if v["name"] == "tokens"]
    assert volume["secretName"] == secret["metadata"]["name"]
    assert [item["key"] for item in volume["items"]] == ["tokens"]
    assert data["token"] not in json.dumps(release.workload) + release.notes


def test_a_secret_of_ones_own_takes_its_place():
    release = render("auth.existingSecret=callers,auth.secretKey=digests")
    assert "Secret" not in release.kinds()
    [volume] = [v["secret"] for v in release.pod["volumes"] if v["name"] == "tokens"]
    assert volume["secretName"] == "callers"
    assert volume["items"] == [{"key": "digests", "path": "tokens"}]


def test_anonymous_is_said_aloud():
    release = render("auth.anonymous=true")
    assert "WARNING: it asks for no token" in release.notes
    assert release.environment["OPENCLAW_MODEL_SERVER_ALLOW_ANONYMOUS"] == "true"
    assert "Secret" not in release.kinds()


# --- The little programs in it -------------------------------------------------------------------------------------


def test_the_loader_waits_and_ends_when_told():
    [loader] = [c for c in render(COMMAND).pod["containers"] if c["name"] == "loader"]
    process = subprocess.Popen(loader["command"], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        subprocess.run(["kill", "--", f"-{process.pid}"], stderr=subprocess.DEVNULL)


def test_the_init_container_exchanges_the_models_as_a_whole(tmp_path: Path):
    [init] = render(*IMAGE_AND_HPA).pod["initContainers"]
    image, disk = tmp_path / "image", tmp_path / "disk" / "models"
    for model in ("new", "kept"):
        (image / model / "1").mkdir(parents=True)
        (image / model / "1" / "model.onnx").write_text("from the image")
    (disk / "gone" / "1").mkdir(parents=True)
    (disk / "kept" / "1").mkdir(parents=True)
    (disk / "kept" / "1" / "model.onnx").write_text("old")
    places = {"/models": str(image), "/repository/models": str(disk)}
    assert places.keys() <= {*init["command"]}
    subprocess.run([places.get(word, word) for word in init["command"]], check=True)
    assert sorted(path.name for path in disk.iterdir()) == ["kept", "new"]
    assert (disk / "kept" / "1" / "model.onnx").read_text() == "from the image"


class Stub(BaseHTTPRequestHandler):
    """A server that is ready and asks for a token."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/health/ready" else 401)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


def test_helm_test_passes_on_a_guarded_server_and_fails_on_an_open_one():
    [container] = render(COMMAND).one("Pod")["spec"]["containers"]
    with HTTPServer(("127.0.0.1", 0), Stub) as stub:
        threading.Thread(target=stub.serve_forever, args=(0.01,), daemon=True).start()
        _python, *arguments, _address, guarded = container["command"]
        assert guarded == "true"
        for expectation, status in (("true", 0), ("false", 1)):
            command = [sys.executable, *arguments, f"http://127.0.0.1:{stub.server_port}", expectation]
            assert subprocess.run(command, capture_output=True).returncode == status
        stub.shutdown()


def test_the_chart_has_the_products_version():
    text = (CHART / "Chart.yaml").read_text()
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    assert 'appVersion: "0.1.0"' in text and '\nversion = "0.1.0"' in project
