"""The Helm chart, rendered by the real Helm: it fits Kubernetes' schemas, and says what the manifests say."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

import gateway
from gateway.config import load_config
from scripts.release.chart import pack_chart

pytestmark = pytest.mark.long
"""Helm is built from its sources, which takes minutes."""

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm"
BUILT = ROOT / ".venv" / "helm" / "helm"
WAIT_S = 30.0
EVERYTHING = {
    "archive.enabled": "true",
    "collector.enabled": "true",
    "gateway.replicas": "1",
    "ingress.className": "nginx",
    "ingress.enabled": "true",
    "ingress.hosts[0].host": "klines.example.org",
    "ingress.tls[0].secretName": "klines-tls",
    "metrics.prometheusRule.enabled": "true",
    "metrics.prometheusRule.labels.release": "prometheus",
    "metrics.serviceMonitor.enabled": "true",
    "metrics.serviceMonitor.token": "true",
    "networkPolicy.enabled": "true",
    "networkPolicy.egress[0].ports[0].port": "6379",
}
Document = dict[str, Any]


@cache
def helm() -> str:
    """Its path. Without one the tests are left out, but not in CI."""
    if found := str(BUILT) if BUILT.exists() else shutil.which("helm"):
        return found
    message = "helm was not found (`make test LONG=1` builds it where there is Go 1.26)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm(), *arguments], text=True, capture_output=True, timeout=WAIT_S, check=False)


def rendered(values: dict[str, str], chart: Path = CHART) -> list[Document]:
    """What would be applied, with these values set."""
    return yaml_of(chart, tuple(word for key, value in values.items() for word in ("--set", f"{key}={value}")))


@cache
def yaml_of(chart: Path, options: tuple[str | Path, ...]) -> list[Document]:
    done = run("template", "kline-gateway", chart, "--kube-version", "1.34", *options)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(documents: list[Document], kind: str, name: str = "kline-gateway") -> Document:
    (found,) = [entry for entry in documents if (entry["kind"], entry["metadata"]["name"]) == (kind, name)]
    return found


def pod_of(documents: list[Document], name: str = "kline-gateway") -> Document:
    spec: Document = one(documents, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def config_of(documents: list[Document]) -> str:
    return str(one(documents, "ConfigMap")["data"]["config.toml"])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_chart(CHART, tmp_path_factory.mktemp("chart"), 1_700_000_000)


def test_the_chart_and_its_archive_have_nothing_to_complain_about(packed: Path, tmp_path: Path) -> None:
    for chart in (CHART, packed):
        done = run("lint", "--strict", "--kube-version", "1.34", chart)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = yaml.safe_load(run("show", "chart", packed).stdout)
    assert (shown["version"], shown["appVersion"]) == (gateway.__version__, gateway.__version__)
    assert rendered(EVERYTHING, packed) == rendered(EVERYTHING)
    assert pack_chart(CHART, tmp_path, 1_700_000_000).read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("values", [{}, {"autoscaling.enabled": "true"}, EVERYTHING], ids=["usual", "scaled", "all"])
def test_everything_fits_its_schema(values: dict[str, str], version: str) -> None:
    documents = rendered(values)
    for document in documents:
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(document, version, strict=True)
    kinds = {document["kind"] for document in documents}
    assert {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"} <= kinds
    assert ("HorizontalPodAutoscaler" in kinds) == ("autoscaling.enabled" in values)
    optional = {"Ingress", "NetworkPolicy", "PersistentVolumeClaim", "PrometheusRule", "ServiceMonitor"}
    assert kinds & optional == (optional if values == EVERYTHING else set())


def in_substance(document: Document) -> Document:
    """A manifest without what chart and manifests may call as they like: names, labels, what selects by them."""
    text = json.dumps(document).replace("kline-gateway-collector", "kline-collector")
    text = text.replace(f"kline-gateway:{gateway.__version__}", "kline-gateway:latest")
    plain: Document = copy.deepcopy(json.loads(text))
    plain["metadata"].pop("labels", None)
    template_ = plain.get("spec", {}).get("template")
    for labels in (
        plain.get("spec", {}).get("selector", {}),
        (template_ or {}).get("metadata", {}).get("labels", {}),
    ):
        labels.clear()
    if template_:
        template_["metadata"]["annotations"].pop("checksum/config", None)
        for spread in template_["spec"]["topologySpreadConstraints"]:
            spread["labelSelector"].clear()
        for container in template_["spec"]["containers"]:
            container.pop("imagePullPolicy", None)
            container["env"] = sorted(container["env"], key=lambda variable: str(variable["name"]))
    if plain["kind"] == "ConfigMap":
        plain["data"] = tomllib.loads(plain["data"]["config.toml"])
    return plain


def test_it_says_what_the_manifests_say() -> None:
    folder = ROOT / "deploy" / "kubernetes"
    manifests = [entry for path in sorted(folder.glob("*.yaml")) for entry in yaml.safe_load_all(path.read_text())]
    values = {"autoscaling.enabled": "true", "collector.enabled": "true", "secret.env.GATEWAY_ARCHIVE__URL": "null"}
    by_name = [
        {(entry["kind"], entry["metadata"]["name"]): entry for entry in map(in_substance, documents)}
        for documents in (rendered(values), manifests)
    ]
    chart, written = by_name
    assert chart.keys() == written.keys()
    # `type: ClusterIP` is what a Service is without one.
    del chart[("Service", "kline-gateway")]["spec"]["type"]
    for key, document in written.items():
        assert chart[key] == document, key


def test_whoever_selects_pods_selects_those_of_its_component() -> None:
    documents = rendered(EVERYTHING)
    labels = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in documents
        if document["kind"] == "Deployment"
    }
    gateways, collectors = labels["kline-gateway"], labels["kline-gateway-collector"]
    assert gateways != collectors
    assert one(documents, "Service")["spec"]["selector"] == gateways
    assert one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == gateways
    for name, selected in (("kline-gateway", gateways), ("kline-gateway-collector", collectors)):
        assert one(documents, "Deployment", name)["spec"]["selector"]["matchLabels"] == selected
        assert one(documents, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == selected
    for component, selected in (("gateway", gateways), ("collector", collectors)):
        service = one(documents, "Service", f"kline-gateway-{component}-metrics")
        assert service["spec"]["selector"] == selected
        # The alerts go by the job, which is this label of the Service.
        monitor = one(documents, "ServiceMonitor", f"kline-gateway-{component}")["spec"]
        assert service["metadata"]["labels"][monitor["jobLabel"]] == component
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert not monitor["selector"]["matchLabels"].items() <= one(documents, "Service")["metadata"]["labels"].items()


def test_settings_of_any_shape_reach_the_gateway(tmp_path: Path) -> None:
    settings = {
        "access": {"trusted_proxies": ["10.0.0.0/8", "192.168.0.0/16"]},
        "archive": {"keep_days": {"1m": 730}},
        "limits": {"shared": True},
        "redis": {"ticker_key": 'odd"<{symbol}>'},
        "sources": {"second": {"url": "redis://second:6379/0"}},
        "stream": {"flush_share": 0.25},
    }
    values, path = tmp_path / "values.yaml", tmp_path / "config.toml"
    values.write_text(json.dumps({"archive": {"enabled": True}, "gateway": {"replicas": 1}, "config": settings}))
    path.write_text(config_of(yaml_of(CHART, ("--values", values))))
    config = load_config(path, {})
    assert [str(network) for network in config.access.trusted_proxies] == ["10.0.0.0/8", "192.168.0.0/16"]
    assert (config.archive.path, config.archive.keep_days) == ("/var/lib/kline-gateway/klines.db", {"1m": 730})
    assert config.redis.ticker_key == 'odd"<{symbol}>'
    assert config.sources["second"].url == "redis://second:6379/0"
    assert (config.stream.flush_share, config.limits.shared) == (0.25, True)


def test_an_archive_in_a_file_has_a_volume_and_one_gateway() -> None:
    documents = rendered({"archive.enabled": "true", "gateway.replicas": "1"})
    claim = one(documents, "PersistentVolumeClaim", "kline-gateway-archive")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    pod = pod_of(documents)
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert tomllib.loads(config_of(documents))["archive"]["path"].startswith(mounts["archive"] + "/")
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]
    assert one(documents, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert "GATEWAY_ARCHIVE__URL" not in {variable["name"] for variable in pod["containers"][0]["env"]}
    theirs = rendered({"archive.enabled": "true", "gateway.replicas": "1", "archive.existingClaim": "mine"})
    assert [entry for entry in theirs if entry["kind"] == "PersistentVolumeClaim"] == []
    (volume,) = [volume for volume in pod_of(theirs)["volumes"] if volume["name"] == "archive"]
    assert volume["persistentVolumeClaim"]["claimName"] == "mine"


def test_the_collector_has_a_standby_and_no_secret_of_the_gateway() -> None:
    documents = rendered({"collector.enabled": "true"})
    (container,) = pod_of(documents, "kline-gateway-collector")["containers"]
    assert container["args"][0] == "collect"
    assert container["args"][-1] == "--ha"
    assert {variable["name"] for variable in container["env"]} == {
        "GATEWAY_COLLECT__ADDRESS",
        "GATEWAY_REDIS__PASSWORD",
    }
    single = rendered({"collector.enabled": "true", "collector.replicas": "1"})
    assert "--ha" not in pod_of(single, "kline-gateway-collector")["containers"][0]["args"]


def test_the_alerts_are_those_of_the_repository() -> None:
    documents = rendered(EVERYTHING)
    for component, name in (("gateway", "rules.yml"), ("collector", "collector_rules.yml")):
        rule = one(documents, "PrometheusRule", f"kline-gateway-{component}")
        written = yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text(encoding="utf-8"))
        assert rule["spec"] == written
        assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_the_network_policy_keeps_the_metrics_apart() -> None:
    policy = one(rendered(EVERYTHING), "NetworkPolicy")["spec"]
    public, metrics = policy["ingress"]
    assert [port["port"] for port in public["ports"]] == ["http"]
    assert "from" not in public
    assert [port["port"] for port in metrics["ports"]] == ["operations"]
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    closed = rendered({"networkPolicy.enabled": "true", "networkPolicy.metrics": "null", "collector.enabled": "true"})
    assert one(closed, "NetworkPolicy", "kline-gateway-collector")["spec"]["ingress"] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gateway.repicas": "3"}, "additional properties 'repicas' not allowed"),
        ({"archive.enabled": "true"}, "the archive in a file has one writer"),
        ({"archive.enabled": "true", "gateway.replicas": "1", "autoscaling.enabled": "true"}, "has one writer"),
        ({"config.server.shutdown_s": "55"}, "gateway.terminationGracePeriodSeconds: expected more than"),
        ({"ingress.enabled": "true"}, "ingress.hosts: expected a host at least"),
        ({"metrics.serviceMonitor.enabled": "true", "config.operations.address": "null"}, "expected a port in"),
        ({"image.digest": "latest"}, "/image/digest"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, str], message: str) -> None:
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    done = run("template", "kline-gateway", CHART, "--kube-version", "1.34", *options)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_digest_goes_before_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    (container,) = pod_of(rendered({"image.repository": "r.example.org/kg", "image.digest": digest}))["containers"]
    assert container["image"] == f"r.example.org/kg@{digest}"
    (container,) = pod_of(rendered({"image.tag": "edge"}))["containers"]
    assert container["image"] == "kline-gateway:edge"


def test_nothing_runs_as_root_or_writes() -> None:
    for name in ("kline-gateway", "kline-gateway-collector"):
        pod = pod_of(rendered(EVERYTHING), name)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
