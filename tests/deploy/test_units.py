"""Units of systemd and Podman, proxies' files and Kubernetes' objects say what the code knows."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from api import serving
from knify import healthy, kinds, secretfiles, settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
QUADLETS = sorted((DEPLOY / "quadlet").glob("*.container"))
KUBERNETES = [
    document
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in YAML(typ="safe").load_all(file.read_text())
]
OURS = {"api", "beat", "gateway", "worker"}
VARIABLE = re.compile(r"\b(?:KNIFY|AWS|ANTHROPIC|GEMINI|OPENAI)_[A-Z0-9_]+\b(?==)")


def known() -> set[str]:
    fields = {f"KNIFY_{field.name.upper()}" for field in dataclasses.fields(settings.Settings)}
    aws = {"AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"}
    return fields | aws | {f"{name}_FILE" for name in secretfiles.SECRETS} | {kinds.BROWSER_URL}


def pods() -> list[dict[str, Any]]:
    return [d for d in KUBERNETES if d["kind"] in ("Deployment", "DaemonSet")]


def test_there_is_a_unit_for_each_part_and_one_for_podman() -> None:
    assert {unit.stem for unit in UNITS} == {f"knify-{part}" for part in (*OURS, "podman")}
    assert {unit.stem for unit in QUADLETS} == {f"knify-{part}" for part in OURS}
    for unit in UNITS:
        part = unit.stem.removeprefix("knify-")
        if part in OURS:
            assert f"ExecStart=/opt/knify/.venv/bin/knify {part}\n" in unit.read_text()


@pytest.mark.parametrize("name", ["knify-worker", "knify-podman"])
def test_a_restart_leaves_the_sandboxes_alone(name: str) -> None:
    lines = (DEPLOY / "systemd" / f"{name}.service").read_text().splitlines()

    assert {"KillMode=process", "Delegate=yes"} <= set(lines)


def test_who_needs_no_root_is_not_root() -> None:
    for part in ("api", "beat"):
        unit = (DEPLOY / "systemd" / f"knify-{part}.service").read_text()
        assert {"User=knify", "CapabilityBoundingSet=", "ProtectSystem=strict"} <= set(unit.split())
        assert "User=10001:10001\n" in (DEPLOY / "quadlet" / f"knify-{part}.container").read_text()


def test_quadlets_lock_their_containers_up_and_ask_for_their_health() -> None:
    for quadlet in QUADLETS:
        lines = set(quadlet.read_text().splitlines())
        part = quadlet.stem.removeprefix("knify-")
        assert {"ReadOnly=true", "DropCapability=ALL", "NoNewPrivileges=true"} <= lines
        assert f"HealthCmd=python -m knify.healthy {part}" in lines
        assert part in healthy.PARTS
        # A check that fails marks the container and does no more, unless it is said.
        assert {"HealthOnFailure=kill", "Restart=always"} <= lines


def test_the_home_of_a_worker_outlives_its_container() -> None:
    """By `store.seen` in it, it is noticed that Redis went back to an older state."""
    worker = (DEPLOY / "quadlet" / "knify-worker.container").read_text().splitlines()
    (pod,) = [pod for pod in pods() if pod["metadata"]["name"] == "knify-node"]
    (home,) = [v for v in pod["spec"]["template"]["spec"]["volumes"] if v["name"] == "node"]

    assert "Volume=knify-node.volume:/srv/node" in worker
    assert (DEPLOY / "quadlet" / "knify-node.volume").is_file()
    assert "hostPath" in home


def test_every_variable_in_units_is_a_setting() -> None:
    files = [*UNITS, *QUADLETS, DEPLOY / "systemd" / "knify.env.example"]
    named = {name for file in files for name in VARIABLE.findall(file.read_text())}

    assert len(named) > 12
    assert named - {"KNIFY_HOME"} <= known()


def test_every_variable_in_kubernetes_is_a_setting() -> None:
    named = set(KUBERNETES[0]["data"]) | {
        variable["name"]
        for pod in pods()
        for container in pod["spec"]["template"]["spec"]["containers"]
        for variable in container["env"]
    }

    assert named - {"KNIFY_HOME"} <= known()


def test_objects_of_kubernetes_fit_each_other() -> None:
    names = {(document["kind"], document["metadata"]["name"]) for document in KUBERNETES}
    assert {("Deployment", "knify-api"), ("Deployment", "knify-beat")} <= names
    assert ("DaemonSet", "knify-node") in names
    for pod in pods():
        template = pod["spec"]["template"]
        assert pod["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["command"] == ["knify", container["name"]]
            assert container["livenessProbe"]["exec"]["command"][-1] == container["name"]
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"requests", "limits"} <= set(container["resources"])


def test_the_service_and_the_way_in_lead_to_the_api() -> None:
    by = {d["kind"]: d for d in reversed(KUBERNETES) if d["kind"] != "Deployment"}
    (api,) = [pod for pod in pods() if pod["metadata"]["name"] == "knify-api"]
    ports = {port["name"] for port in api["spec"]["template"]["spec"]["containers"][0]["ports"]}

    assert by["Service"]["spec"]["selector"] == api["spec"]["selector"]["matchLabels"]
    assert {port["targetPort"] for port in by["Service"]["spec"]["ports"]} == ports
    figures, path = by["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "knify-api", "port": {"name": "http"}}
    assert (figures["path"], figures["pathType"]) == ("/metrics", "Exact")
    (nobody,) = [d for d in KUBERNETES if d["metadata"]["name"] == "knify-nobody"]
    assert figures["backend"]["service"]["name"] == "knify-nobody"
    assert "selector" not in nobody["spec"]


def test_replicas_lie_apart_and_what_goes_is_known_to_go_before() -> None:
    apart = [pod for pod in pods() if pod["spec"].get("replicas", 1) > 1]
    (api,) = [pod for pod in pods() if pod["metadata"]["name"] == "knify-api"]
    spec = api["spec"]["template"]["spec"]
    pause = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])

    assert {pod["metadata"]["name"] for pod in apart} == {"knify-api", "knify-beat"}
    for pod in apart:
        (spread,) = pod["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == pod["spec"]["selector"]
    assert spec["terminationGracePeriodSeconds"] >= pause + serving.OPTIONS["graceful_timeout"] + 10


def test_nobody_is_believed_until_somebody_is_named() -> None:
    for pod in pods():
        for container in pod["spec"]["template"]["spec"]["containers"]:
            told = {one["name"]: one.get("value") for one in container["env"]}
            assert told.get("KNIFY_TRUSTED_PROXIES", "") == ""
    assert settings.load({"KNIFY_TRUSTED_PROXIES": ""}).trusted_proxies == ()


@pytest.mark.parametrize("name", ["compose.conf", "knify.conf"])
def test_proxies_keep_nothing_back_and_say_who_asks(name: str) -> None:
    passing = (DEPLOY / "nginx" / "passing.conf").read_text()

    assert "passing.conf;" in (DEPLOY / "nginx" / name).read_text()
    for line in ("proxy_buffering off;", "proxy_request_buffering off;", "proxy_http_version 1.1;"):
        assert line in passing
    assert "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" in passing
