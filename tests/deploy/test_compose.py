"""docker-compose.yml is what deploy/README.md and the settings say it is; nothing is started."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from knify import credentials, errors, kinds, settings
from knify.agents import models
from knify.gateway import main
from workers import flower

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text()
EXAMPLE = (PROJECT / ".env.example").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMES = sorted(SERVICES)

#: Of compose itself and of no process: they choose images, mounts and numbers.
OF_COMPOSE = {
    *("KNIFY_WORKERS", "KNIFY_REDIS_PASSWORD", "KNIFY_REDIS_IMAGE", "KNIFY_SERVER_IMAGE"),
    *("KNIFY_SERVER_FROM", "KNIFY_BIND", "KNIFY_PODMAN_DIR", "KNIFY_PODMAN_STORAGE"),
    *("KNIFY_FLOWER_PORT", "APT_SOURCES", "PIP_INDEX_URL"),
    *("KNIFY_FILES", "KNIFY_GATEWAY_FILES", "KNIFY_SECRET_FILES"),
    "KNIFY_VAULT_FILES",
}


#: The operator's own files, read only.
FILES, LOGINS = ":/srv/files:ro", ":/srv/gateway:ro"
#: Of models: never in a sandbox.
KEYS = {provider.key for provider in models.PROVIDERS.values()} | {kinds.BROWSER_URL}


OF_FILES = {"KNIFY_PRICES_FILE", "KNIFY_MODELS_FILE", "KNIFY_SOURCES_FILE", "KNIFY_EGRESS_CA"}


def _known() -> set[str]:
    """The names of what is read from the environment."""
    fields = dataclasses.fields(settings.Settings)
    return {f"KNIFY_{field.name.upper()}" for field in fields} | credentials.names() | KEYS


def _mounts(name: str) -> list[str]:
    return [str(mount) for mount in SERVICES[name].get("volumes", [])]


def test_it_has_the_six_services() -> None:
    assert NAMES == ["api", "beat", "flower", "gateway", "redis", "worker"]


def test_who_sees_the_hosts_processes_has_no_init_of_its_own() -> None:
    """Podman refuses to start both; and who is not pid 1 hears SIGTERM anyway."""
    assert not [name for name, one in SERVICES.items() if {"pid", "init"} <= set(one)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "redis"])
def test_every_variable_of_a_service_is_a_setting(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= _known()


def test_every_variable_that_compose_fills_in_stands_in_the_example_and_the_other_way_round() -> (
    None
):
    used = set(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]+)", TEXT))
    offered = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))

    assert used == offered
    assert used <= _known() | OF_COMPOSE


def test_defaults_in_the_example_are_those_of_the_file() -> None:
    defaults = dict(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]+):-([^}]+)\}", TEXT))
    alternatives = {"KNIFY_SERVER_FROM", "KNIFY_REDIS_IMAGE"}  # for places without a registry

    offered = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", EXAMPLE, re.MULTILINE))

    for name in defaults.keys() - alternatives:
        assert offered[name] == defaults[name]


def test_no_secret_has_a_value_in_a_file_under_version_control() -> None:
    secrets = [name for name in OF_COMPOSE | _known() if "PASSWORD" in name]

    assert len(secrets) == 2
    for name in secrets:
        assert re.search(rf"^#?{name}=$", EXAMPLE, re.MULTILINE)
        assert not re.search(rf"\$\{{{name}:?-[^}}]", TEXT)
    assert "${KNIFY_REDIS_PASSWORD:?" in TEXT
    assert ".env\n" in (PROJECT / ".gitignore").read_text()
    assert (PROJECT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_worker_has_the_keys_of_agents_and_the_gateway_those_of_models() -> None:
    for name in NAMES:
        keys = (credentials.names() | KEYS) & set(SERVICES[name].get("environment", {}))
        assert keys == {"worker": credentials.names(), "gateway": KEYS}.get(name, set())


def test_the_worker_alone_reaches_podman_and_the_host_and_the_gateway_its_processes() -> None:
    for name in NAMES:
        given = [mount for mount in _mounts(name) if not mount.endswith((FILES, LOGINS))]
        reaches = [mount for mount in given if not re.match(r"[a-z]+:/", mount)]
        has_more = SERVICES[name].keys() & {"pid", "cap_add", "privileged", "ipc", "devices"}
        podman = "podman" in str(SERVICES[name]).lower()

        assert bool(reaches) == podman == (name == "worker")
        assert bool(has_more) == (name in ("gateway", "worker"))


def test_all_that_the_operator_says_to_the_gateway_reaches_it() -> None:
    folder = Path(main.__file__).parent
    code = "".join(file.read_text() for file in folder.glob("*.py"))
    fields = set(re.findall(r"\b(?:config|_config|settings)\.([a-z_]+)", code))
    read = {f"KNIFY_{name.upper()}" for name in fields} & _known()

    assert len(read) > 8
    assert read - {"KNIFY_LOG_LEVEL", "KNIFY_HOME"} <= set(SERVICES["gateway"]["environment"])
    assert "KNIFY_ALLOWED_MODELS" in SERVICES["worker"]["environment"]


def test_the_operators_files_reach_who_reads_them_and_logins_the_gateway_alone() -> None:
    for name in NAMES:
        environ = SERVICES[name].get("environment", {})
        named = {variable for variable in environ if variable in OF_FILES}
        assert any(mount.endswith(FILES) for mount in _mounts(name)) == bool(named)
        has_logins = [mount for mount in _mounts(name) if mount.endswith(LOGINS)]
        assert bool(has_logins) == (name == "gateway") == ("KNIFY_GIT_CREDENTIALS_FILE" in environ)
    for folder in ("files", "gateway"):
        assert f"deploy/{folder}/*\n" in (PROJECT / ".gitignore").read_text()
        assert (PROJECT / "deploy" / folder).is_dir()


def test_secrets_of_jobs_reach_the_worker_alone() -> None:
    for name in NAMES:
        has_folder = any(mount.endswith(":/srv/secrets:ro") for mount in _mounts(name))
        named = {n for n in SERVICES[name].get("environment", {}) if n.startswith("KNIFY_SECRET_")}
        assert has_folder == bool(named) == (name == "worker")
        given = {n for n in SERVICES[name].get("environment", {}) if n.startswith("KNIFY_VAULT_")}
        has_token = any(mount.endswith(":/srv/vault:ro") for mount in _mounts(name))
        assert has_token == bool(given) == (name == "worker")
    assert SERVICES["worker"]["environment"]["KNIFY_SECRET_DIR"] == "/srv/secrets"
    for folder in ("secrets", "vault"):
        assert f"deploy/{folder}/*\n" in (PROJECT / ".gitignore").read_text()
        assert (PROJECT / "deploy" / folder).is_dir()


def test_the_gateway_has_what_it_takes_to_listen_in_a_sandbox() -> None:
    gateway = SERVICES["gateway"]

    assert gateway["cap_add"] == ["SYS_ADMIN", "SYS_PTRACE"]
    assert gateway["pid"] == "host"
    sockets = [name for name in NAMES if "run:/srv/knify/run" in _mounts(name)]
    assert sockets == ["gateway", "worker"]


def test_nobody_is_privileged_and_all_drop_what_they_do_not_need() -> None:
    for service in SERVICES.values():
        assert "privileged" not in service
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges" in service["security_opt"]


def test_the_worker_has_four_capabilities_and_the_hosts_pids() -> None:
    worker = SERVICES["worker"]

    assert worker["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_PTRACE"]
    assert worker["pid"] == "host"
    assert worker["environment"]["KNIFY_NODE"].startswith("${KNIFY_NODE:?")


def test_the_admin_key_is_for_the_api_alone_and_the_master_key_for_who_needs_it() -> None:
    assert [name for name in NAMES if any(m.startswith("home:") for m in _mounts(name))] == ["api"]
    for shared in ("keys:", "objects:"):
        holders = [name for name in NAMES if any(m.startswith(shared) for m in _mounts(name))]
        assert holders == ["api", "beat", "worker"]


def test_redis_is_reached_from_inside_only_and_keeps_every_write() -> None:
    redis = SERVICES["redis"]
    (script,) = redis["command"]

    assert redis["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert "ports" not in redis
    for line in ("appendonly yes", "appendfsync always", "requirepass $$REDIS_PASSWORD"):
        assert line in script


def test_flower_is_off_by_default_and_on_loopback_when_on() -> None:
    assert [name for name in NAMES if "profiles" in SERVICES[name]] == ["flower"]
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES["flower"]["ports"])


@pytest.mark.parametrize(
    ("user", "password"), [("knify", ""), ("", "secret"), ("a:b", "secret"), ("knify", "a,b:c")]
)
def test_flower_refuses_to_let_anybody_in(user: str, password: str) -> None:
    config = settings.load({"KNIFY_FLOWER_USER": user, "KNIFY_FLOWER_PASSWORD": password})

    with pytest.raises(errors.ConfigError, match="KNIFY_FLOWER"):
        flower.credentials(config)


def test_flowers_password_is_not_shown_with_the_other_settings() -> None:
    config = settings.load({"KNIFY_FLOWER_PASSWORD": "s3cret"})

    assert flower.credentials(config) == "knify:s3cret"
    assert "s3cret" not in repr(config)
