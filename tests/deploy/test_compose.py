"""deploy/compose.yaml, as far as that can be checked without Docker; and by docker compose itself, where it is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.servers import kafka_files

FILE: Final = Path(__file__).parents[2] / "deploy" / "compose.yaml"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
NAMES: Final = ["kafka", "postgres", "redis"]

every_service = pytest.mark.parametrize("name", NAMES)


def test_it_has_the_servers_of_the_distributed_platform_and_no_others() -> None:
    assert sorted(SERVICES) == NAMES


@every_service
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", SERVICES[name]["image"])


def test_kafka_is_the_version_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_files.VERSION}"


@every_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert SERVICES[name]["ports"]
    for port in SERVICES[name]["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port)


@every_service
def test_a_health_check_says_when_it_can_be_used(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD-SHELL"
    assert all(re.fullmatch(r"\d+s", check[wait]) for wait in ("interval", "timeout"))
    assert check["retries"] * int(check["interval"].removesuffix("s")) >= 30


def test_what_must_outlive_a_container_is_on_a_volume_and_every_volume_is_used() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"]) == {"postgres", "kafka"}
    assert "kafka:" + SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in SERVICES["kafka"]["volumes"]


def test_kafka_is_its_own_controller_and_tells_clients_the_port_that_is_open_to_them() -> None:
    settings = SERVICES["kafka"]["environment"]
    assert settings["KAFKA_PROCESS_ROLES"] == "broker,controller"
    listeners = dict(listener.split("://") for listener in settings["KAFKA_LISTENERS"].split(","))
    advertised = dict(listener.split("://") for listener in settings["KAFKA_ADVERTISED_LISTENERS"].split(","))
    protocols = dict(pair.split(":") for pair in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(protocols) == set(listeners) == {*advertised, settings["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert settings["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    [port] = SERVICES["kafka"]["ports"]
    assert port == f"{advertised['HOST']}:{listeners['HOST'].split(':')[1]}"
    assert settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{settings['KAFKA_NODE_ID']}@{listeners['CONTROLLER']}"


def test_kafka_s_cluster_id_is_one() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", SERVICES["kafka"]["environment"]["CLUSTER_ID"])


def test_no_server_is_open_without_a_password() -> None:
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:-")
    assert SERVICES["redis"]["environment"]["REDISCLI_AUTH"].startswith("${REDIS_PASSWORD:-")
    assert '--requirepass "$$REDISCLI_AUTH"' in SERVICES["redis"]["command"][-1]
