"""What surrounds every request: keys, sizes, limits, headers, and failures that show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from app.api.memory import MemoryRecords
from app.cases import Row, Scope
from app.errors import Fatal, Transient
from tests.support.api_world import ApiWorld
from tests.support.asgi import Answer

HEALTH = "/api/reconciliation/health"
TRIGGER = "/api/reconciliation/trigger"


def problem(answer: Answer) -> tuple[int, str]:
    """Status and type; every problem has its media type and says its own status and request."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    return answer.status, answer.json["type"].removeprefix("urn:driftwatch:problem:")


@pytest.mark.parametrize("key", [None, "nonsense", "dw_0000000000000000_" + "A" * 43])
@pytest.mark.parametrize(
    "target", [HEALTH, TRIGGER, "/api/nothing", "/api/admin/reconciliation/exceptions/x"]
)
async def test_nothing_below_api_is_reached_without_a_key(key: str | None, target: str) -> None:
    answer = await ApiWorld().ask(target, "POST", key, b"not even json")

    assert problem(answer) == (401, "unauthenticated")
    assert "X-API-Key" in answer.headers["www-authenticate"]


async def test_a_refused_key_is_counted_by_its_cause() -> None:
    world = ApiWorld()
    await world.ask(HEALTH, key=None)
    await world.ask(HEALTH, key=world.make("old", next(iter(world.memory.keys.values())).role, days=-1))

    count = world.metrics.registry.get_sample_value
    assert count("driftwatch_api_refused_keys_total", {"cause": "missing"}) == 1
    assert count("driftwatch_api_refused_keys_total", {"cause": "expired"}) == 1


async def test_liveness_needs_no_key() -> None:
    answer = await ApiWorld().ask("/healthz", key=None)

    assert (answer.status, answer.json) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/nothing", (404, "not-found")),
        ("GET", "/api/reconciliation/health/", (404, "not-found")),
        ("DELETE", HEALTH, (405, "method-not-allowed")),
        ("POST", TRIGGER, (422, "invalid")),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    method: str, target: str, expected: tuple[int, str]
) -> None:
    answer = await ApiWorld().ask(target, method, body=b"{")

    assert problem(answer) == expected
    if expected[0] == 405:
        assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("body", [b"\xff\xfe", b'"' + b"[" * 900, b"[" * 990, b"null", b"{}}", b"\x00"])
async def test_a_body_that_is_nothing_is_invalid(body: bytes) -> None:
    assert problem(await ApiWorld().ask(TRIGGER, "POST", body=body)) == (422, "invalid")


async def test_what_was_sent_is_not_told_back() -> None:
    answer = await ApiWorld().ask(TRIGGER, "POST", body={"rule": "MY SECRET", "other": "ALSO SECRET"})

    assert problem(answer) == (422, "invalid")
    assert {fault["where"] for fault in answer.json["errors"]} == {"body.rule", "body.other"}
    assert b"SECRET" not in answer.body


@pytest.mark.parametrize("body", [b" " * 1001, [b" " * 600, b" " * 600]])
async def test_a_large_body_is_refused(body: Any) -> None:
    assert problem(await ApiWorld().ask(TRIGGER, "POST", body=body)) == (413, "too-large")


async def test_a_length_that_is_told_is_believed_before_anything_is_read() -> None:
    answer = await ApiWorld().ask(TRIGGER, "POST", body=[], content_length="9" * 30)

    assert problem(answer) == (413, "too-large")


async def test_a_body_of_the_largest_size_passes() -> None:
    answer = await ApiWorld().ask(TRIGGER, "POST", body=b"{}" + b" " * 998)

    assert answer.status == 202


@pytest.mark.parametrize("target", [HEALTH, "/healthz", "/nothing", "/openapi.json"])
async def test_every_answer_has_the_security_headers(target: str) -> None:
    headers = (await ApiWorld().ask(target, key="viewer")).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


async def test_a_request_keeps_the_id_that_it_came_with() -> None:
    world = ApiWorld()

    assert (await world.ask(HEALTH, x_request_id="a-1.b_2")).headers["x-request-id"] == "a-1.b_2"
    for odd in ("", "x" * 65, "a b", 'a"b'):
        assert len((await world.ask(HEALTH, x_request_id=odd)).headers["x-request-id"]) == 32


async def test_a_key_that_asks_too_often_is_told_when_to_come_back() -> None:
    world = ApiWorld(rate=2)

    statuses = [(await world.ask(HEALTH, key="viewer")).status for _ in range(5)]
    late = await world.ask(HEALTH, key="viewer")

    assert statuses == [200, 200, 200, 200, 429]
    assert problem(late) == (429, "too-many")
    assert late.headers["retry-after"] == "1"
    assert (await world.ask(HEALTH, key="operator")).status == 200, "another key has its own"
    world.clock.passed = 0.5
    assert (await world.ask(HEALTH, key="viewer")).status == 200
    count = world.metrics.registry.get_sample_value
    assert count("driftwatch_api_rate_limited_total", {"limit": "requests"}) == 2


class Broken(MemoryRecords):
    """Records that fail with what they are told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def latest_runs(self, scope: Scope) -> Sequence[Row]:
        raise self.error

    async def find_key(self, key_id: str) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected", "wait"),
    [
        (Transient("reading", "postgresql://ada:pass@db", "refused"), (503, "unavailable"), "5"),
        (Transient("reading", "db", "busy", retry_after_s=0.2), (503, "unavailable"), "1"),
        (Fatal("reading", "postgresql://ada:pass@db", "no schema"), (503, "unavailable"), "60"),
        (RuntimeError("a bug at /srv/app.py, pass"), (500, "internal"), None),
    ],
)
async def test_a_failure_shows_nothing_of_the_inside(
    error: Exception, expected: tuple[int, str], wait: str | None
) -> None:
    world = ApiWorld(records=Broken(error))

    with structlog.testing.capture_logs() as told:
        reading, admitting = await world.ask(HEALTH, key="bootstrap"), await world.ask(HEALTH, key="viewer")

    for answer in (reading, admitting):
        assert problem(answer) == expected
        assert answer.headers.get("retry-after") == wait
        assert answer.headers["x-content-type-options"] == "nosniff"
        for word in (b"pass", b"Traceback", b".py", b"postgresql"):
            assert word not in answer.body
    assert {line["log_level"] for line in told} <= {"warning", "error"}
    assert len(told) == 2, "the log has it all"


async def test_requests_are_counted_by_the_pattern_of_their_route() -> None:
    world = ApiWorld()
    await world.ask("/api/admin/reconciliation/reports/one")
    await world.ask("/api/admin/reconciliation/reports/two")
    await world.ask("/wp-login.php", "BREW")

    count = world.metrics.registry.get_sample_value
    labels = {"route": "/api/admin/reconciliation/reports/{id}", "method": "GET", "status": "404"}
    assert count("driftwatch_api_requests_total", labels) == 2
    odd = {"route": "unmatched", "method": "other", "status": "404"}
    assert count("driftwatch_api_requests_total", odd) == 1
    seconds = {"route": "/api/admin/reconciliation/reports/{id}"}
    assert count("driftwatch_api_request_duration_seconds_count", seconds) == 2
