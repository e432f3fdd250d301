"""docker-compose.yml is what deploy/README.md and the settings say it is; nothing is started."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from knify import credentials, errors, healthy, kinds, secretfiles, settings
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
PARTS = ("SERVER", "REDIS", "PROXY", "S3", "PROMETHEUS", "GRAFANA")
OF_COMPOSE = {
    *("KNIFY_WORKERS", "KNIFY_APIS", "KNIFY_PASSWORDS", "KNIFY_SERVER_FROM"),
    *("KNIFY_BIND", "KNIFY_PODMAN_DIR", "KNIFY_PODMAN_STORAGE", "APT_SOURCES", "PIP_INDEX_URL"),
    *("KNIFY_FLOWER_PORT", "KNIFY_PROMETHEUS_PORT", "KNIFY_GRAFANA_PORT"),
    *("KNIFY_PROMETHEUS_DAYS", "AWS_DEFAULT_REGION"),
    *("KNIFY_FILES", "KNIFY_GATEWAY_FILES", "KNIFY_SECRET_FILES", "KNIFY_VAULT_FILES"),
    "KNIFY_BACKUPS",
    *(f"KNIFY_{part}_IMAGE" for part in PARTS),
    *(f"KNIFY_{part}_MEMORY" for part in ("REDIS", "API", "WORKER", "GATEWAY", "S3", "BACKUP")),
    *(f"KNIFY_{part}_CPUS" for part in ("REDIS", "API", "WORKER", "GATEWAY")),
}
#: Those that run Knify's own code.
OURS = ("api", "beat", "flower", "gateway", "worker")
#: The same, but they run once, when they are called.
ONCE = ("backup", "restore")
#: Read by boto3.
OF_AWS = {"AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"}
#: Read by OpenTelemetry.
OF_OTEL = {"OTEL_EXPORTER_OTLP_ENDPOINT"}


#: The operator's own files, read only.
FILES, LOGINS = ":/srv/files:ro", ":/srv/gateway:ro"
#: Where backups go, and where they come from.
BACKUPS = ":/srv/backups", ":/srv/backups:ro"
#: Of models: never in a sandbox.
KEYS = {provider.key for provider in models.PROVIDERS.values()} | {kinds.BROWSER_URL}


OF_FILES = {"KNIFY_PRICES_FILE", "KNIFY_MODELS_FILE", "KNIFY_SOURCES_FILE", "KNIFY_EGRESS_CA"}


def _known() -> set[str]:
    """The names of what is read from the environment."""
    fields = dataclasses.fields(settings.Settings)
    return {f"KNIFY_{field.name.upper()}" for field in fields} | credentials.names() | KEYS


def _mounts(name: str) -> list[str]:
    return [str(mount) for mount in SERVICES[name].get("volumes", [])]


def test_it_has_these_services() -> None:
    others = ["grafana", "prometheus", "proxy", "redis", "s3"]
    assert sorted([*OURS, *ONCE, *others]) == NAMES


def test_who_sees_the_hosts_processes_has_no_init_of_its_own() -> None:
    """Podman refuses to start both; and who is not pid 1 hears SIGTERM anyway."""
    assert not [name for name, one in SERVICES.items() if {"pid", "init"} <= set(one)]


@pytest.mark.parametrize("name", [*OURS, *ONCE])
def test_every_variable_of_a_service_is_a_setting(name: str) -> None:
    environ = SERVICES[name]["environment"]
    files = {f"{secret}_FILE" for secret in secretfiles.SECRETS}

    assert set(environ) - files <= _known() | OF_AWS | OF_OTEL


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_files_of_services_that_read_them_and_variables_of_none(name: str) -> None:
    service = SERVICES[name]
    environ = {str(k): str(v) for k, v in service.get("environment", {}).items()}
    read = re.findall(
        r"/run/secrets/(\w+)", f"{environ} {service.get('entrypoint')} {service.get('healthcheck')}"
    )
    scripts = {"redis": "deploy/redis/start.sh", "s3": "deploy/s3/start.sh"}
    if name in scripts:
        text = (PROJECT / scripts[name]).read_text()
        read += re.findall(r"(?:hash |/run/secrets/)([a-z]\w+)", text)
    if name == "prometheus":
        read += ["metrics_token"]

    assert set(read) == set(service.get("secrets", []))
    assert not set(environ) & set(secretfiles.SECRETS)


def test_the_script_makes_each_secret_and_no_other_and_changes_none(tmp_path: Path) -> None:
    argv = ["sh", str(PROJECT / "deploy" / "passwords.sh"), str(tmp_path / "made")]
    subprocess.run(argv, check=True)
    made = {file.name: file.read_text().strip() for file in (tmp_path / "made").iterdir()}
    subprocess.run(argv, check=True)

    assert made.keys() == COMPOSE["secrets"].keys()
    assert {f.name: f.read_text().strip() for f in (tmp_path / "made").iterdir()} == made
    closed = (tmp_path / "made", PROJECT / "deploy" / "secrets", PROJECT / "deploy" / "vault")
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in closed)
    filled = [text for text in made.values() if text]
    assert len(set(filled)) == len(filled) == 10
    assert all(len(text) == 48 for text in filled)
    assert "deploy/passwords/*\n" in (PROJECT / ".gitignore").read_text()


def test_every_variable_that_compose_fills_in_stands_in_the_example_and_the_other_way_round() -> (
    None
):
    used = set(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]+)", TEXT))
    offered = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))

    assert used == offered
    assert used <= _known() | OF_COMPOSE | OF_AWS | OF_OTEL


def test_defaults_in_the_example_are_those_of_the_file() -> None:
    defaults = dict(re.findall(r"(?<!\$)\$\{([A-Z][A-Z0-9_]+):-([^}]+)\}", TEXT))

    offered = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", EXAMPLE, re.MULTILINE))

    for name, default in defaults.items():
        assert offered[name] == default


def test_no_secret_has_a_value_in_a_file_under_version_control() -> None:
    assert not [name for name in secretfiles.SECRETS if f"{name}=" in EXAMPLE]
    assert ".env\n" in (PROJECT / ".gitignore").read_text()
    assert (PROJECT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_worker_has_the_keys_of_agents_and_the_gateway_those_of_models() -> None:
    for name in NAMES:
        given = {n.removesuffix("_FILE") for n in SERVICES[name].get("environment", {})}
        keys = (credentials.names() | KEYS) & given
        assert keys == {"worker": credentials.names(), "gateway": KEYS}.get(name, set())


def test_the_worker_alone_reaches_podman_and_the_host_and_the_gateway_its_processes() -> None:
    for name in NAMES:
        given = [m for m in _mounts(name) if not m.endswith((FILES, LOGINS, *BACKUPS))]
        given = [m for m in given if not re.match(r"\./deploy/\S+:ro$", m)]
        reaches = [
            mount for mount in given if not re.match(r"([a-z0-9]+:)?/srv|[a-z0-9]+:/", mount)
        ]
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
    assert read - {"KNIFY_LOG_LEVEL"} <= set(SERVICES["gateway"]["environment"])
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
    sockets = [name for name in NAMES if "run:/srv/node/run" in _mounts(name)]
    assert sockets == ["gateway", "worker"]


def test_nobody_is_privileged_and_all_drop_what_they_do_not_need() -> None:
    for service in SERVICES.values():
        assert "privileged" not in service
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges" in service["security_opt"]
        assert service["read_only"] is True


def test_who_needs_no_root_is_not_root() -> None:
    """The API, beat, Flower and what runs once are whom their image says."""
    roots = [name for name in NAMES if SERVICES[name].get("user") == "0:0"]

    assert roots == ["gateway", "s3", "worker"]
    assert "cap_add" not in SERVICES["s3"]
    assert "\nUSER 10001:10001\n" in (PROJECT / "deploy" / "Containerfile").read_text()
    for name in set(NAMES) - {"api", "beat", "flower", *ONCE}:
        assert "user" in SERVICES[name]


def test_each_has_limits_and_all_but_what_only_looks_on_a_health_check() -> None:
    for name, service in SERVICES.items():
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
        assert ("healthcheck" in service) == (name not in ("prometheus", "grafana", *ONCE))
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]
    for name in OURS:
        assert SERVICES[name]["healthcheck"]["test"][-1] == name
        assert name in healthy.PARTS


def test_the_world_comes_in_by_the_proxy_alone_which_reaches_the_api_alone() -> None:
    open_ = [
        name for name in NAMES if any("KNIFY_BIND" in p for p in SERVICES[name].get("ports", []))
    ]
    members = [name for name in NAMES if "front" in SERVICES[name]["networks"]]

    assert open_ == ["proxy"]
    assert members == ["api", "proxy"]
    assert SERVICES["proxy"]["networks"] == ["front"]
    assert SERVICES["api"]["environment"]["KNIFY_TRUSTED_PROXIES"].startswith("proxy,")
    assert "ports" not in SERVICES["api"]


def test_the_worker_has_four_capabilities_and_the_hosts_pids() -> None:
    worker = SERVICES["worker"]

    assert worker["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_PTRACE"]
    assert worker["pid"] == "host"
    assert worker["environment"]["KNIFY_NODE"].startswith("${KNIFY_NODE:?")


def test_the_home_of_a_nodes_workers_is_one_and_outlives_their_containers() -> None:
    """By `store.seen` in it, it is noticed that Redis went back to an older state."""
    home = SERVICES["worker"]["environment"]["KNIFY_HOME"]

    assert f"node:{home}" in _mounts("worker")
    assert "node" in COMPOSE["volumes"]
    assert [name for name in NAMES if any(m.startswith("node:") for m in _mounts(name))] == [
        "worker"
    ]


def test_the_admin_key_is_for_the_api_and_backups_alone_and_the_master_key_for_who_needs_it() -> (
    None
):
    homes = [name for name in NAMES if any(m.startswith("home:") for m in _mounts(name))]
    assert homes == ["api", *ONCE]
    for shared in ("keys:", "objects:"):
        holders = [name for name in NAMES if any(m.startswith(shared) for m in _mounts(name))]
        assert holders == sorted(["api", "beat", "worker", *ONCE])


def test_backups_are_made_and_put_back_where_the_api_works_but_as_other_users() -> None:
    api = SERVICES["api"]["environment"]
    for name in ONCE:
        service = SERVICES[name]
        shared = set(service["environment"]) - {"KNIFY_REDIS_URL", "KNIFY_REDIS_PASSWORD_FILE"}
        assert {n: service["environment"][n] for n in shared} == {n: api[n] for n in shared}
        assert service["entrypoint"][:2] == ["knify", name]
    assert SERVICES["backup"]["environment"]["KNIFY_REDIS_URL"] == "redis://backup@redis:6379/0"
    assert "keys:/srv/keys:ro" in _mounts("backup")
    assert [n for n in NAMES if any(m.endswith(BACKUPS) for m in _mounts(n))] == [*ONCE]
    assert "deploy/backups/*\n" in (PROJECT / ".gitignore").read_text()


def test_redis_is_reached_from_inside_only_and_keeps_every_write() -> None:
    redis = SERVICES["redis"]
    lines = (PROJECT / "deploy" / "redis" / "redis.conf").read_text().splitlines()

    assert redis["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert "ports" not in redis
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)


def test_redis_has_time_to_load_a_large_file() -> None:
    """It answers nobody meanwhile, and what starts behind it would not start at all."""
    check = SERVICES["redis"]["healthcheck"]

    assert check["start_period"] == "10m"
    assert "grep -q PONG" in check["test"][1]  # what is LOADING is not healthy


def test_what_only_looks_on_is_off_by_default_and_on_loopback_when_on() -> None:
    profiles = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}

    assert profiles == {
        "backup": ["backup"],
        "restore": ["restore"],
        "flower": ["flower"],
        "s3": ["s3"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }
    for name in ("flower", "prometheus", "grafana"):
        assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name]["ports"])
    assert "ports" not in SERVICES["s3"]


def test_workers_take_no_orders_from_who_looks_on() -> None:
    from workers.app import app

    assert app.conf.worker_enable_remote_control is False


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
