"""Dockerfile, docker-compose.yml and `.env.example`, against the settings, the deadlines and each other."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import appliance
from appliance.engine_settings import settings_of
from appliance.errors import ConfigurationError
from appliance.secret_settings import NO_SETTINGS
from appliance.settings import FOR_THE_CONTAINER, PREFIX, Settings, load_settings
from appliance.store.migrations import SCHEMA_VERSION
from processes.launcher.launch import stop_limit_s
from processes.ttsctl.release import Release, read_release
from tests.docs.checkout import ROOT
from tests.docs.test_env_example import variables

COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOG_FILES = 3
"""Of each program: `stdout_logfile_maxbytes` of 1 MB, and two backups."""
MIB = 1024**2


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = YAML(typ="safe").load(COMPOSE)["services"]
    return found


def size_bytes(text: str) -> int:
    """A size as Compose writes it."""
    return int(text[:-1]) * {"k": 1024, "m": MIB, "g": 1024 * MIB}[text[-1]]


def options(mount: str) -> dict[str, str]:
    """The options of a tmpfs."""
    return dict(each.split("=") for each in mount.partition(":")[2].split(","))


def test_compose_file_when_checked_then_fits_the_schema_of_compose() -> None:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        "vendor.compose-spec",
    ]
    done = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_services_when_listed_then_the_profiles_are_those_of_the_pages(services: dict[str, Any]) -> None:
    assert {name: service.get("profiles") for name, service in services.items()} == {
        "appliance": None,
        "importer": None,
        "prometheus": ["monitoring"],
        "alertmanager": ["monitoring"],
        "grafana": ["monitoring"],
        "caddy": ["proxy"],
    }


def test_services_when_read_then_each_is_hardened_bounded_and_of_a_fixed_version(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["mode"] == "non-blocking", name
        assert set(service["logging"]["options"]) == {"mode", "max-buffer-size", "max-size", "max-file"}, name
        assert service["pids_limit"] <= 256, name
        assert size_bytes(service["mem_limit"]) <= 4096 * MIB, name
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
        assert "privileged" not in service, name
        assert "docker.sock" not in str(service), name
    assert {name for name, service in services.items() if "cap_add" in service} == {"caddy"}


def test_appliance_when_read_then_its_limits_are_those_that_were_promised(services: dict[str, Any]) -> None:
    service = services["appliance"]
    assert (service["cpus"], service["mem_limit"], service["memswap_limit"]) == (1.0, "1g", "1g")
    assert (service["pids_limit"], service["ulimits"]["nofile"]) == (256, {"soft": 4096, "hard": 4096})
    assert service["build"]["target"] == "default"


def test_importer_when_read_then_it_ends_by_itself_and_stops_itself_before_the_kernel_does(
    services: dict[str, Any],
) -> None:
    service = services["importer"]
    environment = load_settings(service_settings(service))
    assert (service["restart"], service["mem_limit"]) == ("no", "4g")
    assert environment.importer.memory_bytes < size_bytes(service["mem_limit"])
    assert not environment.importer.elsewhere
    assert load_settings(service_settings(services["appliance"])).importer.elsewhere


def service_settings(service: dict[str, Any]) -> dict[str, str]:
    """What a container of a service has in its environment, with `.env` as in the example."""
    own: dict[str, str] = service["environment"]
    return variables() | own


def test_stop_when_compared_with_the_launchers_then_compose_waits_longer(services: dict[str, Any]) -> None:
    grace_s = float(services["appliance"]["stop_grace_period"].removesuffix("s"))
    settings = load_settings(service_settings(services["appliance"]))
    assert settings.dispatch.drain_s < stop_limit_s(settings) < grace_s


def test_run_directory_when_every_log_is_full_then_it_has_room(services: dict[str, Any]) -> None:
    [run] = [mount for mount in services["appliance"]["tmpfs"] if mount.startswith("/run/tts:")]
    settings = Settings()
    programs = ["gateway", "exporter", "importer", *["espeak"] * 2, *["vits"] * settings.workers.streams]
    assert len(programs) * LOG_FILES * 1_000_000 < size_bytes(options(run)["size"]) / 2
    assert (options(run)["uid"], options(run)["gid"], options(run)["mode"]) == ("10001", "10001", "0700")


def test_variables_when_compared_with_the_settings_then_each_is_one_or_is_for_compose() -> None:
    known = (
        NO_SETTINGS
        | {f"{PREFIX}{name}" for name in FOR_THE_CONTAINER}
        | {
            f"{PREFIX}{section}_{key}".upper()
            for section, field in Settings.model_fields.items()
            for key in settings_of(type(field.default))
        }
    )
    for text in (COMPOSE, DOCKERFILE, (ROOT / ".env.example").read_text(encoding="utf-8")):
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text))
        assert named
        assert named - known == set()


def test_variables_when_compose_puts_them_in_then_the_example_has_them() -> None:
    put_in = set(re.findall(r"\$\{(\w+)", COMPOSE))
    assert put_in
    assert put_in - variables().keys() == set()


def test_ports_when_published_then_on_this_host_or_its_address_and_never_the_exporters(
    services: dict[str, Any],
) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    for port in published:
        assert re.match(r"127\.0\.0\.1:|\$\{APPLIANCE_LAN_ADDRESS:", port), port
        assert not port.endswith(f":{Settings().exporter.port}")
    assert ipaddress.ip_address(variables()["APPLIANCE_LAN_ADDRESS"]).is_loopback


def test_proxy_when_it_has_an_address_then_that_alone_is_trusted(services: dict[str, Any]) -> None:
    prefix = variables()["APPLIANCE_PROXY_PREFIX"]
    address = services["caddy"]["networks"]["proxy"]["ipv4_address"]
    assert f"{prefix}.2" == address.replace("${APPLIANCE_PROXY_PREFIX:-10.253.213}", prefix)
    assert variables()["APPLIANCE_HTTP_TRUSTED_PROXIES"] == f"{prefix}.2/32"


def test_env_file_when_the_appliance_reads_it_then_it_also_sees_the_file_itself(
    services: dict[str, Any],
) -> None:
    for name in ("appliance", "importer"):
        service = services[name]
        assert service["env_file"] == ".env"
        path = service["environment"]["APPLIANCE_ENV_FILE"]
        assert f"./.env:{path}:ro" in service["volumes"]
        for page in ("docs/operate/keys.md", "docs/decisions/0034-keys-and-secrets.md"):
            assert f"`{path}`" in (ROOT / page).read_text(encoding="utf-8"), page


def test_dockerfile_when_read_then_its_version_and_torch_are_those_of_the_checkout() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE) == [appliance.__version__]
    assert set(re.findall(r"torch==\S+", DOCKERFILE)) == set(re.findall(r"torch==\S+", makefile))


def test_dockerfile_when_upgrade_check_reads_its_images_labels_then_they_are_those_of_the_code(
    tmp_path: Path,
) -> None:
    """As `docker image inspect` prints them."""
    labels = dict(re.findall(r'^(?:LABEL)? +([\w.-]+)="([^"]*)"', DOCKERFILE, re.MULTILINE))
    labels["org.opencontainers.image.version"] = appliance.__version__
    path = tmp_path / "image.json"
    path.write_text(json.dumps([{"Config": {"Labels": labels}}]), "utf-8")
    assert read_release(path) == Release(appliance.__version__, appliance.UPGRADES_FROM, SCHEMA_VERSION)


def test_dockerfile_when_it_needs_buildkit_then_whoever_builds_by_hand_is_told() -> None:
    """Docker before 23 builds without it; docker-compose 1.29 hands the builder its own environment."""
    assert "RUN --mount=" in DOCKERFILE
    assert "DOCKER_BUILDKIT=1 docker-compose up --build" in COMPOSE
    page = (ROOT / "docs/operate/install.md").read_text(encoding="utf-8")
    assert "\nexport DOCKER_BUILDKIT=1 " in page.partition("apt-get install docker.io")[2].partition("```")[0]


def test_dockerfile_when_read_then_every_target_runs_as_nobody_under_an_init() -> None:
    targets = re.findall(r"^FROM runtime AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert targets == ["importer", "slim", "default"]
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["/usr/bin/tini", "--"]' in DOCKERFILE
    assert len(re.findall(r"^HEALTHCHECK .*CMD \[\"ttsctl\", \"live\"\]$", DOCKERFILE, re.MULTILINE)) == 2


@pytest.mark.parametrize("name", ["slim", "default"])
def test_dockerfile_when_it_has_two_of_them_then_slim_and_default_differ_in_what_was_installed_alone(
    name: str,
) -> None:
    [stage] = re.findall(rf"^FROM runtime AS {name}\n((?:.+\n)+)", DOCKERFILE, re.MULTILINE)
    [other] = re.findall(r"^FROM runtime AS slim\n((?:.+\n)+)", DOCKERFILE, re.MULTILINE)
    assert stage.replace(f"made-{name}", "made") == other.replace("made-slim", "made")


def test_build_context_when_made_then_holds_neither_settings_nor_data_nor_history() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if line and not line.startswith("#")) == "*"
    let_in = [line[1:] for line in lines if line.startswith("!")]
    for path in (".env", ".git", "data", "run", "build", ".venv", "config/keys", "config/admin-key"):
        assert not any(fnmatch.fnmatch(path, pattern) for pattern in let_in), path
    copied = re.findall(r"^COPY (requirements/\S+|image/\S+)", DOCKERFILE, re.MULTILINE)
    assert copied
    assert all(
        any(fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/") for pattern in let_in)
        for path in copied
    )


def test_setting_when_misspelt_beside_those_for_compose_then_still_refused() -> None:
    with pytest.raises(ConfigurationError):
        load_settings(variables() | {f"{PREFIX}LAN_ADRESS": "192.168.1.10"})
