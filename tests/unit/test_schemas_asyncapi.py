"""The AsyncAPI document: whole, every reference resolves, every topic stands in it as it is created."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import schemas
from connectors.kafka.topics import CONFIGS
from schemas import topics

DOCUMENT: Any = yaml.safe_load((schemas.FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))
FILES = {path.name for path in schemas.FOLDER.glob("*.json")}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def follow(reference: str) -> Any:
    """What a reference names; raises KeyError or OSError where there is nothing."""
    file, _, pointer = reference.partition("#")
    place = json.loads((schemas.FOLDER / file).read_text(encoding="utf-8")) if file else DOCUMENT
    for step in pointer.split("/")[1:]:
        place = place[step.replace("~1", "/").replace("~0", "~")]
    return place


def test_the_document_is_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"].keys() >= {"title", "version"}
    assert DOCUMENT.keys() <= {
        "asyncapi", "id", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip


def test_every_reference_resolves() -> None:
    found = sorted(set(references(DOCUMENT)))

    assert len(found) > 25
    for reference in found:
        assert isinstance(follow(reference), dict)


def test_every_topic_is_a_channel_and_every_channel_a_topic() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == set(topics.ALL)
    assert all(name == channel["address"] for name, channel in DOCUMENT["channels"].items())


@pytest.mark.parametrize("topic", topics.ALL)
def test_a_topic_is_cleaned_up_as_it_is_created(topic: str) -> None:
    binding = DOCUMENT["channels"][topic]["bindings"]["kafka"]
    stated, config = binding["topicConfiguration"], CONFIGS[topic]

    assert ",".join(stated["cleanup.policy"]) == config["cleanup.policy"]
    assert str(stated.get("retention.ms")) == str(config.get("retention.ms"))
    assert binding.get("partitions") == (None if topic in topics.CO_PARTITIONED else 1)


@pytest.mark.parametrize("topic", topics.ALL)
def test_a_message_says_its_key_and_its_payload_or_is_bytes(topic: str) -> None:
    channel = DOCUMENT["channels"][topic]
    assert channel.keys() <= {"address", "title", "summary", "description", "messages", "bindings"}
    assert channel["messages"]
    for reference in channel["messages"].values():
        message = follow(reference["$ref"])
        assert message["bindings"]["kafka"]["key"]["description"]
        if topic == topics.DEAD_LETTERS:
            assert "payload" not in message
        else:
            assert message["payload"]["schema"]["$ref"].removeprefix("./") in FILES
        if message.get("headers"):
            assert follow(message["headers"]["schema"]["$ref"])["required"]


IDENTIFIER = re.compile(r"[\w.\-]+")
ALLOWED = {
    "info": {"title", "version", "description", "termsOfService", "contact", "license", "tags",
             "externalDocs"},
    "channel": {"address", "messages", "title", "summary", "description", "servers", "parameters", "tags",
                "externalDocs", "bindings"},
    "operation": {"action", "channel", "title", "summary", "description", "security", "tags", "externalDocs",
                  "bindings", "traits", "messages", "reply"},
    "message": {"headers", "payload", "correlationId", "contentType", "name", "title", "summary",
                "description", "tags", "externalDocs", "bindings", "examples", "traits"},
}  # fmt: skip
"""The fixed fields of AsyncAPI 3.0's objects."""


def test_every_object_has_the_form_that_asyncapi_3_gives_it() -> None:
    assert DOCUMENT["info"].keys() <= ALLOWED["info"]
    assert isinstance(DOCUMENT["info"]["version"], str)
    assert DOCUMENT["components"].keys() == {"messages"}
    for kind, objects in (
        ("channel", DOCUMENT["channels"]),
        ("operation", DOCUMENT["operations"]),
        ("message", DOCUMENT["components"]["messages"]),
    ):
        for name, found in objects.items():
            assert IDENTIFIER.fullmatch(name)
            assert found.keys() <= ALLOWED[kind], name
    for message in DOCUMENT["components"]["messages"].values():
        assert "/" in message["contentType"]
        assert message["bindings"].keys() == {"kafka"}
        for part in ("headers", "payload"):
            if part in message:  # a Multi Format Schema Object
                assert message[part].keys() == {"schemaFormat", "schema"}
                assert message[part]["schemaFormat"] == "application/schema+json;version=draft-2020-12"
        if "correlationId" in message:
            assert re.fullmatch(
                r"\$message\.(header|payload)#(/[^/]+)+", message["correlationId"]["location"]
            )
    for channel in DOCUMENT["channels"].values():
        for name, reference in channel["messages"].items():
            assert reference == {"$ref": f"#/components/messages/{name}"}


def test_the_consumers_contract_stands_in_both_documents() -> None:
    described = DOCUMENT["channels"][topics.MISMATCHES]["description"]
    for promise in ("in the order of their sequence", "always with the same ce_id", "drift.episodes"):
        assert promise in described
    assert "Compacted" in DOCUMENT["channels"][topics.EPISODES]["description"]
    told = (schemas.FOLDER / "README.md").read_text(encoding="utf-8").partition("## A consumer's contract")[2]
    for promise in ("Order per key", "Duplicates are possible, with the same id", "drift.episodes"):
        assert promise in told.partition("\n## ")[0]


def test_every_operation_is_of_a_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
    used = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert used == {f"#/channels/{topic}" for topic in topics.ALL}


def test_every_format_but_those_of_files_stands_in_it() -> None:
    named = {name.partition("#")[0].removeprefix("./") for name in references(DOCUMENT)} - {""}

    others = {"rule.v1.json", "log-line.v1.json", "replay-event.v1.json"}
    others |= {"webhook.v1.json", "webhooks.v1.json", "openapi.json"}
    assert named == FILES - others
