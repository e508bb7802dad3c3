"""The OpenAPI document: complete, committed, and what the command prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

import schemas
from app.api.description import describe_api
from app.api.printing import print_description
from tests.support.api_world import ApiWorld

ADMIN = "/api/admin/reconciliation"
ROUTES = {
    "POST /api/reconciliation/trigger",
    "GET /api/reconciliation/status",
    "GET /api/reconciliation/health",
    f"GET {ADMIN}/reports",
    f"GET {ADMIN}/reports/{{id}}",
    f"POST {ADMIN}/run",
    f"GET {ADMIN}/exceptions",
    f"GET {ADMIN}/exceptions/{{id}}",
    f"PUT {ADMIN}/exceptions/{{id}}/resolve",
    f"GET {ADMIN}/status",
    f"GET {ADMIN}/keys/{{rule}}/{{key}}",
    f"GET {ADMIN}/dead-letters",
    f"POST {ADMIN}/dead-letters/replay",
    "GET /healthz",
}


@pytest.fixture(name="document", scope="module")
def _document() -> dict[str, Any]:
    return describe_api(ApiWorld().app)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_committed_document_is_what_the_command_prints() -> None:
    committed = (schemas.FOLDER / "openapi.json").read_text(encoding="utf-8")

    assert print_description() == committed, "driftwatch api --openapi > schemas/openapi.json"


def test_it_is_openapi_3_1_with_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert set(operations(document)) == ROUTES


def test_every_route_but_liveness_needs_a_key_and_says_what_it_answers(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        answers = set(operation["responses"])
        if name == "GET /healthz":
            assert ("security" not in operation, answers) == (True, {"200"})
            continue
        assert operation["security"] == [{"key": []}], name
        assert {"401", "429", "503"} <= answers, name
        assert answers & {"200", "202"}
        if not name.startswith("GET"):
            assert {"403", "413", "422", "404"} <= answers, name
        if "parameters" in operation:
            assert "422" in answers, name


def test_every_problem_is_of_one_form(document: dict[str, Any]) -> None:
    described = document["components"]["responses"]
    for operation in operations(document).values():
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                found = described[answer["$ref"].rpartition("/")[2]]
                schema = found["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
                assert ("Retry-After" in found["headers"]) == (status in ("429", "503"))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for part in text.split('"$ref": "#/')[1:]:
        place: Any = document
        for name in part.partition('"')[0].split("/"):
            place = place[name]
        assert place


async def test_the_document_is_served_without_a_key() -> None:
    world = ApiWorld()

    assert (await world.ask("/openapi.json", key=None)).json == describe_api(world.app)
