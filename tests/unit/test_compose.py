"""docker-compose.yml, as far as it can be judged without a Docker engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli import build
from app.demo.credit_contract import contract_address
from app.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def test_every_service_of_ours_is_a_command_of_the_program(compose: dict[str, Any]) -> None:
    commands = {command.name or command.callback.__name__ for command in build().registered_commands}  # type: ignore[union-attr]
    commands |= {group.name for group in build().registered_groups}
    ours = {name: each for name, each in compose["services"].items() if each.get("image") == "driftwatch"}
    assert {"worker", "poller", "connect", "seed", "node"} <= set(ours)
    assert {each["command"].split()[0] for each in ours.values()} <= commands


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for each in compose["services"].values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_mounted_file_of_the_repository_is_there(compose: dict[str, Any]) -> None:
    mounts = [mount for each in compose["services"].values() for mount in each.get("volumes", [])]
    ours = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert ours
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    images = {each["image"] for each in compose["services"].values()} - {"driftwatch"}
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_the_contract_is_the_one_of_the_made_up_network(compose: dict[str, Any]) -> None:
    environment = compose["x-driftwatch"]["environment"]
    passphrase = environment["STELLAR_NETWORK_PASSPHRASE"].partition(":-")[2].rstrip("}")
    assert contract_address(passphrase) in environment["CREDIT_CONTRACT_ID"]


def test_its_environment_is_understood(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in compose["x-driftwatch"]["environment"].items():
        text = str(value)
        monkeypatch.setenv(name, text.partition(":-")[2].rstrip("}") if ":-" in text else text)
    settings = load_settings()
    assert settings.connect_url == "http://debezium:8083"
    assert settings.partitions == 4
