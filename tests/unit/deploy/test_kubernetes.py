"""The manifests against Kubernetes' own schemas, and against what the gateway does."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from gateway.config import load_config
from gateway.ops.metrics import DESCRIPTIONS

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
DOCUMENTS: dict[str, dict[str, Any]] = {
    f"{path.stem} {document['kind']}": document
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}
POD: dict[str, Any] = DOCUMENTS["gateway Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_fits_its_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], version, strict=True)


def test_a_manifest_with_a_wrong_key_would_not() -> None:
    broken = DOCUMENTS["gateway Service"] | {"spec": {"portz": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.29", strict=True)


def test_whoever_selects_pods_selects_these() -> None:
    labels = POD["metadata"]["labels"]
    assert DOCUMENTS["gateway Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert DOCUMENTS[f"gateway {kind}"]["spec"]["selector"]["matchLabels"] == labels
    scaled = DOCUMENTS["autoscaler HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", DOCUMENTS["gateway Deployment"]["metadata"]["name"])


def test_the_settings_are_the_gateways_and_leave_time_to_drain(tmp_path: Path) -> None:
    text = DOCUMENTS["gateway ConfigMap"]["data"]["config.toml"]
    assert tomllib.loads(text)
    path = tmp_path / "config.toml"
    path.write_text(text)
    environ = {entry["name"]: "secret" for entry in CONTAINER["env"]}
    config = load_config(path, environ)
    assert (config.redis.password, config.operations.token) == ("secret", "secret")
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == {"http": config.server.port, "operations": int(config.operations.address.rpartition(":")[2])}
    pause_s = 8
    assert f"time.sleep({pause_s})" in CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert pause_s + config.server.shutdown_s < POD["spec"]["terminationGracePeriodSeconds"]


def test_nothing_runs_as_root_or_writes() -> None:
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_metrics_to_scale_by_exist() -> None:
    assert {"connections", "loop_lag_seconds"} <= DESCRIPTIONS.keys()
