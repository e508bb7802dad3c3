"""What each route answers, to whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_world import ApiWorld
from tests.support.desk_rows import (
    CREDIT,
    ESCROW,
    dead_letter,
    episode,
    id_of,
    minutes,
    run,
    status,
    transition,
)

ADMIN = "/api/admin/reconciliation"
EXCEPTIONS = f"{ADMIN}/exceptions"
SAID = {"resolved_by": "Ada", "notes": "row corrected"}


def world_of(*episodes: dict[str, Any], **limits: float) -> ApiWorld:
    world = ApiWorld(**limits)
    world.memory.episodes = {row["episode"]: row for row in episodes}
    return world


async def test_pages_of_exceptions_join_without_a_gap() -> None:
    rows = [episode(f"K{number}", number // 3) for number in range(10)]
    world = world_of(*rows)

    found, cursor = [], ""
    while True:
        answer = await world.ask(f"{EXCEPTIONS}?limit=4{cursor}")
        assert len(answer.json["items"]) <= 4
        found += [item["id"] for item in answer.json["items"]]
        if answer.json["next"] is None:
            break
        cursor = f"&cursor={answer.json['next']}"

    assert len(found) == 10
    assert set(found) == {row["episode"] for row in rows}


async def test_filters_go_into_the_query() -> None:
    world = world_of(episode("A", 1, severity="low"), episode("A", 2), episode("B", 3, ESCROW))

    async def keys(query: str) -> list[str]:
        answer = await world.ask(f"{EXCEPTIONS}?{query}")
        return [f"{item['key']}{item['severity'][0]}" for item in answer.json["items"]]

    assert await keys("key=A") == ["Ac", "Al"]
    assert await keys("severity=low&status=open") == ["Al"]
    assert await keys(f"rule={ESCROW}") == ["Bc"]
    assert await keys("since=2026-08-01T12:02:00Z&until=2026-08-01T12:03:00Z") == ["Ac"]
    assert await keys("status=resolved") == []


@pytest.mark.parametrize(
    "query", ["severity=urgent", "status=closed", "since=yesterday", "cursor=zz", "limit=many", "colour=red"]
)
async def test_a_filter_that_means_nothing_is_named(query: str) -> None:
    answer = await ApiWorld().ask(f"{EXCEPTIONS}?{query}")

    assert answer.status == 422
    assert [fault["where"] for fault in answer.json["errors"]] == [f"query.{query.partition('=')[0]}"]


async def test_a_key_of_one_rule_sees_nothing_of_another() -> None:
    world = world_of(episode("A"), episode("B", 1, ESCROW))
    world.memory.runs = [run(1), run(2, ESCROW)]
    world.memory.status = [status(0), status(0, rule=ESCROW)]
    world.memory.dead_letters = {row["id"]: row for row in (dead_letter(1), dead_letter(2, "webhook", None))}
    foreign = world.memory.runs[0]["run"]

    async def see(path: str) -> Any:
        return (await world.ask(path, key="escrow")).json

    assert [item["rule"] for item in (await see(EXCEPTIONS))["items"]] == [ESCROW]
    assert (await see(f"{EXCEPTIONS}?rule={CREDIT}"))["items"] == []
    assert [item["rule"] for item in (await see(f"{ADMIN}/reports"))["items"]] == [ESCROW]
    assert [item["rule"] for item in (await see(f"{ADMIN}/status"))["rules"]] == [ESCROW]
    assert [item["rule"] for item in (await see("/api/reconciliation/health"))["rules"]] == [ESCROW]
    assert [item["rule"] for item in (await see("/api/reconciliation/status"))["rules"]] == [ESCROW]
    assert (await see(f"{ADMIN}/dead-letters"))["items"] == []
    hidden = [
        f"{EXCEPTIONS}/{episode('A')['episode']}",
        f"{ADMIN}/reports/{foreign}",
        f"{ADMIN}/keys/{CREDIT}/A",
    ]
    assert [(await see(path))["status"] for path in hidden] == [404] * 3


async def test_a_foreign_or_unknown_thing_is_not_found_whatever_is_asked_of_it() -> None:
    world = world_of(episode("A"))
    world.memory.dead_letters = {"run-1": dead_letter(1)}
    foreign, nothing = f"{EXCEPTIONS}/{episode('A')['episode']}/resolve", f"{EXCEPTIONS}/{id_of(0)}/resolve"
    replay = f"{ADMIN}/dead-letters/replay"

    answers = [
        await world.ask(foreign, "PUT", "escrow", SAID),
        await world.ask(nothing, "PUT", "operator", SAID),
        await world.ask(replay, "POST", "escrow", {"ids": ["run-1"]}),
        await world.ask(replay, "POST", "operator", {"ids": ["run-1", "run-2"]}),
        await world.ask("/api/reconciliation/trigger", "POST", "escrow", {"rule": CREDIT}),
        await world.ask("/api/reconciliation/trigger", "POST", "operator", {"rule": "no-such-rule"}),
    ]

    assert [answer.status for answer in answers] == [404] * 6
    assert (world.memory.audit, world.sweeps.asked, world.postman.sent) == ([], [], [])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/reconciliation/trigger", {}),
        ("POST", f"{ADMIN}/run", {"run_type": "manual"}),
        ("PUT", f"{EXCEPTIONS}/{id_of(0)}/resolve", SAID),
        ("POST", f"{ADMIN}/dead-letters/replay", {"ids": ["x"]}),
    ],
)
async def test_a_viewer_may_look_and_not_act(method: str, path: str, body: dict[str, Any]) -> None:
    world = ApiWorld()
    answer = await world.ask(path, method, "viewer", body)

    assert answer.status == 403
    assert answer.json["detail"] == "this needs the role operator, the key has viewer"
    assert (await world.ask(path, method, "approver", body)).status in (202, 404)


async def test_an_exception_has_its_trace_and_after_a_word_its_resolution() -> None:
    row = episode("A")
    world = world_of(row)

    before = (await world.ask(f"{EXCEPTIONS}/{row['episode']}", key="viewer")).json
    answer = await world.ask(f"{EXCEPTIONS}/{row['episode']}/resolve", "PUT", "operator", SAID)

    assert (before["status"], before["resolution"], before["trace"]["left"]["tx"]) == ("open", None, 7)
    assert answer.status == 200
    assert answer.json["status"] == "resolved_by_hand"
    said = {"resolved_by": "Ada", "notes": "row corrected", "actor": "operator", "is_current": True}
    assert {name: answer.json["resolution"][name] for name in said} == said

    row["sequence"] = 1
    again = (await world.ask(f"{EXCEPTIONS}/{row['episode']}")).json
    assert (again["status"], again["resolved_at"], again["resolution"]["is_current"]) == ("open", None, False)


async def test_what_evidence_has_closed_or_what_has_moved_is_a_conflict() -> None:
    over = episode("A", state="resolved", resolved_at=minutes(3))
    moved = episode("B", sequence=4)
    world = world_of(over, moved)

    closed = await world.ask(f"{EXCEPTIONS}/{over['episode']}/resolve", "PUT", body=SAID)
    stale = await world.ask(f"{EXCEPTIONS}/{moved['episode']}/resolve", "PUT", body={**SAID, "sequence": 3})
    exact = await world.ask(f"{EXCEPTIONS}/{moved['episode']}/resolve", "PUT", body={**SAID, "sequence": 4.0})

    assert [closed.status, stale.status, exact.status] == [409, 409, 200]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"resolved_by": ""},
        {"resolved_by": "a\nb"},
        {"resolved_by": "x" * 201},
        {"resolved_by": "Ada", "notes": "a\x00b"},
        {"resolved_by": "Ada", "sequence": False},
        {"resolved_by": "Ada", "sequence": -1},
        {"resolved_by": 7},
        {"resolved_by": "Ada", "status": "closed"},
    ],
)
async def test_a_word_that_cannot_be_kept_is_refused(body: dict[str, Any]) -> None:
    row = episode("A")
    world = world_of(row)

    answer = await world.ask(f"{EXCEPTIONS}/{row['episode']}/resolve", "PUT", body=body)

    assert answer.status == 422
    assert world.memory.audit == []


async def test_a_lone_surrogate_is_no_text() -> None:
    row = episode("A")
    body = b'{"resolved_by": "\\ud800"}'

    assert (await world_of(row).ask(f"{EXCEPTIONS}/{row['episode']}/resolve", "PUT", body=body)).status == 422


@pytest.mark.parametrize(
    ("path", "more"), [("/api/reconciliation/trigger", {}), (f"{ADMIN}/run", {"run_type": "manual"})]
)
async def test_a_trigger_asks_for_sweeps_and_gives_their_ids(path: str, more: dict[str, str]) -> None:
    world = ApiWorld()

    one = await world.ask(path, "POST", "operator", {**more, "rule": CREDIT})
    every = await world.ask(path, "POST", "bootstrap", more)
    scoped = await world.ask(path, "POST", "escrow", more)

    assert [one.status, every.status, scoped.status] == [202, 202, 202]
    assert one.json == {"runs": [{"rule": CREDIT, "run": f"{1:032x}"}]}
    assert [asked["rule"] for asked in every.json["runs"]] == [CREDIT, ESCROW]
    assert [asked["rule"] for asked in scoped.json["runs"]] == [ESCROW]
    assert [(act.who, act.what, act.subject) for act in world.memory.audit] == [
        ("operator", "sweep", CREDIT),
        ("environment", "sweep", f"{CREDIT},{ESCROW}"),
        ("escrow", "sweep", ESCROW),
    ]


async def test_only_a_manual_run_can_be_asked_for() -> None:
    assert (await ApiWorld().ask(f"{ADMIN}/run", "POST", body={"run_type": "hourly"})).status == 422
    assert (await ApiWorld().ask(f"{ADMIN}/run", "POST", body={})).status == 422


async def test_triggers_have_a_limit_of_their_own() -> None:
    world = ApiWorld(triggers=0.1)

    async def trigger(key: str = "operator") -> Any:
        return await world.ask("/api/reconciliation/trigger", "POST", key, {})

    first, second = await trigger(), await trigger()
    assert [first.status, second.status] == [202, 429]
    assert second.headers["retry-after"] == "10"
    assert (await trigger("approver")).status == 202
    assert (await world.ask("/api/reconciliation/status")).status == 200
    world.clock.passed = 10.0
    assert (await trigger()).status == 202


async def test_reports_are_pages_of_runs_and_one_run_has_its_record() -> None:
    world = ApiWorld()
    world.memory.runs = [run(number) for number in range(3)] + [run(9, state="failed")]

    page = (await world.ask(f"{ADMIN}/reports?limit=2&status=done")).json
    rest = (await world.ask(f"{ADMIN}/reports?limit=2&status=done&cursor={page['next']}")).json
    one = (await world.ask(f"{ADMIN}/reports/{world.memory.runs[0]['run']}")).json

    assert [item["started_at"] for item in page["items"] + rest["items"]] == [
        "2026-08-01T12:02:00Z",
        "2026-08-01T12:01:00Z",
        "2026-08-01T12:00:00Z",
    ]
    assert rest["next"] is None
    assert one["record"]["state"] == "done"
    assert (await world.ask(f"{ADMIN}/reports/nothing")).status == 404


async def test_health_is_that_of_the_worst_rule_by_its_last_sweep() -> None:
    world = ApiWorld()

    async def health(*runs: Any) -> tuple[str, list[str]]:
        world.memory.runs = list(runs)
        found = (await world.ask("/api/reconciliation/health", key="viewer")).json
        return found["status"], [rule["status"] for rule in found["rules"]]

    assert await health() == ("unknown", ["unknown", "unknown"])
    assert await health(run(1), run(1, ESCROW)) == ("healthy", ["healthy", "healthy"])
    assert await health(run(1), run(2, drifting=3), run(1, ESCROW)) == ("drifting", ["drifting", "healthy"])
    assert await health(run(1, errors=1), run(2, ESCROW, drifting=1)) == ("failing", ["failing", "drifting"])
    assert await health(run(1, state="failed"), run(2, state="running")) == (
        "failing",
        ["failing", "unknown"],
    )
    by_drift = run(1, state="failed", drifting=2)
    assert await health(by_drift, run(1, ESCROW)) == ("drifting", ["drifting", "healthy"])


async def test_status_tells_what_runs_and_what_ran_last() -> None:
    world = ApiWorld()
    world.memory.runs = [run(1), run(2), run(3, state="running", finished_at=None)]

    found = (await world.ask("/api/reconciliation/status")).json

    credit, escrow = found["rules"]
    assert found["is_running"] is True
    assert (credit["running"]["state"], credit["latest"]["started_at"]) == ("running", "2026-08-01T12:02:00Z")
    assert (escrow["rule"], escrow["running"], escrow["latest"]) == (ESCROW, None, None)


async def test_a_rule_stands_as_its_worst_partition_does() -> None:
    world = world_of(episode("A"), episode("B", severity="low"), episode("C", state="resolved"))
    world.memory.status = [status(0, 5), status(1, 3, state="blind", cause="left"), status(0, rule=ESCROW)]
    await world.ask(f"{EXCEPTIONS}/{episode('A')['episode']}/resolve", "PUT", body=SAID)

    credit, escrow = (await world.ask(f"{ADMIN}/status", key="viewer")).json["rules"]

    assert (credit["state"], credit["cause"]) == ("blind", "left")
    assert credit["verified_through"] == "2026-08-01T12:03:00Z"
    now_s, through_s = world.clock.now_us() / 1e6, minutes(3).timestamp()
    assert credit["lag_seconds"] == pytest.approx(now_s - through_s)
    assert credit["open"] == {"critical": 1, "low": 1}
    assert credit["unresolved"] == {"low": 1}
    assert (escrow["verified_through"], escrow["lag_seconds"]) == (None, None), "a partition has not said"


@pytest.mark.parametrize("words", [("live", "parked"), ("live", "of_a_later_version")])
async def test_the_worst_state_wins(words: tuple[str, str]) -> None:
    world = ApiWorld()
    world.memory.status = [status(number, state=word) for number, word in enumerate(words)]

    assert (await world.ask(f"{ADMIN}/status")).json["rules"][0]["state"] == words[1]


async def test_a_key_has_its_history_even_with_a_slash_in_it() -> None:
    row = episode("a/b ü")
    world = world_of(row)
    world.memory.transitions = [transition(row)]

    answer = await world.ask(f"{ADMIN}/keys/{CREDIT}/a%2Fb%20%C3%BC")

    assert answer.json["key"] == "a/b ü"
    assert [found["id"] for found in answer.json["episodes"]] == [row["episode"]]
    assert [found["transition"] for found in answer.json["transitions"]] == ["opened"]
    nothing = await world.ask(f"{ADMIN}/keys/{CREDIT}/nobody%00")
    assert (nothing.status, nothing.json["detail"]) == (404, "no drift of this key is recorded for this rule")


async def test_dead_letters_are_sent_again_each_by_its_kind() -> None:
    world = ApiWorld()
    letters = [
        *(dead_letter(1), dead_letter(2), dead_letter(3, "webhook"), dead_letter(4, "record", None)),
        *(dead_letter(5, "webhook"), dead_letter(6, rule="retired")),
    ]
    world.memory.dead_letters = {row["id"]: row for row in letters}
    world.postman.refuses = {"webhook-5": "its target is gone"}
    ids = ["record-4", "run-1", "webhook-3", "run-2", "run-1", "webhook-5", "run-6"]

    answer = await world.ask(f"{ADMIN}/dead-letters/replay", "POST", body={"ids": ids})

    sweep = f"{1:032x}"
    assert answer.json["items"] == [
        {
            "id": "record-4",
            "outcome": "refused",
            "run": None,
            "reason": "nobody here sends the kind record again",
        },
        {"id": "run-1", "outcome": "asked", "run": sweep, "reason": None},
        {"id": "webhook-3", "outcome": "asked", "run": None, "reason": None},
        {"id": "run-2", "outcome": "asked", "run": sweep, "reason": None},
        {"id": "webhook-5", "outcome": "refused", "run": None, "reason": "its target is gone"},
        {
            "id": "run-6",
            "outcome": "refused",
            "run": None,
            "reason": "rule retired is not among DRIFTWATCH_RULES of this process",
        },
    ]
    assert (world.sweeps.asked, world.postman.sent) == ([CREDIT], ["webhook-3"])
    listed = (await world.ask(f"{ADMIN}/dead-letters")).json["items"]
    waiting = [item["id"] for item in listed if item["replayed_at"] is None]
    assert waiting == ["run-6", "webhook-5", "record-4"]
    assert [act.what for act in world.memory.audit] == ["replay"]


async def test_a_dead_letter_that_is_resolved_is_a_conflict() -> None:
    world = ApiWorld()
    world.memory.dead_letters = {"run-1": dead_letter(1, resolved_at=minutes(9))}

    answer = await world.ask(f"{ADMIN}/dead-letters/replay", "POST", body={"ids": ["run-1"]})

    assert answer.status == 409
    assert world.sweeps.asked == []
