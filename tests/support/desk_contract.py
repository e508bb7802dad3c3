"""What every keeper of records promises to the API; a subclass brings one as the fixture `desk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from app.api.ports import Records
from app.cases import Act, Outcome, Page, Place, Resolution, Scope, Wanted
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

ALL = Scope()
ONLY_ESCROW = Scope(frozenset({ESCROW}))
SAID = Resolution("Ada", "row corrected", "ops", minutes(30))


class Desk(Protocol):
    """Records, and a way to put rows into their tables; a row with the same key replaces the one before."""

    records: Records

    async def put(self, table: str, *rows: Mapping[str, Any]) -> None: ...
    async def audit(self) -> Sequence[Act]: ...


async def ids(desk: Desk, page: Page | None = None, **filters: Any) -> list[str]:
    wanted = Wanted(**{"scope": ALL, **filters})
    return [row["id"] for row in await desk.records.list_exceptions(wanted, page or Page(100))]


class RecordsContract:
    """The tests."""

    async def test_exceptions_come_newest_first_and_page_by_place(self, desk: Desk) -> None:
        rows = [episode(f"K{number}", number // 2) for number in range(5)]
        await desk.put("episodes", *rows)
        order = sorted(rows, key=lambda row: (row["opened_at"], row["episode"]), reverse=True)
        expected = [row["episode"] for row in order]

        assert await ids(desk) == expected
        assert await ids(desk, Page(2)) == expected[:2]
        behind = Place(order[1]["opened_at"], order[1]["episode"])
        assert await ids(desk, Page(10, behind)) == expected[2:]

    async def test_every_filter_narrows_the_list(self, desk: Desk) -> None:
        low = episode("A", 1, severity="low")
        other = episode("A", 2, ESCROW)
        over = episode("B", 3, state="resolved", resolved_at=minutes(4), sequence=1)
        await desk.put("episodes", low, other, over)

        assert await ids(desk, rule=ESCROW) == [other["episode"]]
        assert await ids(desk, key="A") == [other["episode"], low["episode"]]
        assert await ids(desk, severity="low") == [low["episode"]]
        assert await ids(desk, status="resolved") == [over["episode"]]
        assert await ids(desk, status="open") == [other["episode"], low["episode"]]
        assert await ids(desk, since=minutes(2), until=minutes(3)) == [other["episode"]]
        assert await ids(desk, scope=ONLY_ESCROW) == [other["episode"]]
        assert await ids(desk, scope=Scope(frozenset())) == []

    async def test_an_exception_outside_of_the_scope_is_not_there(self, desk: Desk) -> None:
        row = episode("A")
        await desk.put("episodes", row)

        assert await desk.records.find_exception(ONLY_ESCROW, row["episode"]) is None
        assert await desk.records.resolve(ONLY_ESCROW, row["episode"], SAID) is Outcome.UNKNOWN
        found = await desk.records.find_exception(ALL, row["episode"])
        assert found is not None
        assert (found["key"], found["status"], found["work_by"]) == ("A", "open", None)
        assert found["differences"][0]["field"] == "creditLimit"

    async def test_a_resolution_holds_until_the_next_transition(self, desk: Desk) -> None:
        row = episode("A")
        await desk.put("episodes", row)

        assert await desk.records.resolve(ALL, row["episode"], SAID) is Outcome.DONE

        found = await desk.records.find_exception(ALL, row["episode"])
        assert found is not None
        assert (found["status"], found["resolved_at"]) == ("resolved_by_hand", minutes(30))
        assert await ids(desk, status="resolved_by_hand") == [row["episode"]]
        assert await ids(desk, status="open") == []

        await desk.put("episodes", {**row, "sequence": 1})
        found = await desk.records.find_exception(ALL, row["episode"])
        assert found is not None
        assert (found["status"], found["resolved_at"], found["work_by"]) == ("open", None, "Ada")

    async def test_a_resolved_exception_that_reopens_is_open(self, desk: Desk) -> None:
        row = episode("A")
        await desk.put("episodes", row)
        await desk.records.resolve(ALL, row["episode"], SAID)
        over = {**row, "sequence": 1, "state": "resolved", "resolved_at": minutes(40)}

        await desk.put("episodes", over)
        found = await desk.records.find_exception(ALL, row["episode"])
        assert found is not None
        assert (found["status"], found["resolved_at"]) == ("resolved", minutes(40))
        assert await desk.records.resolve(ALL, row["episode"], SAID) is Outcome.CLOSED

        await desk.put("episodes", {**row, "sequence": 2})
        assert await ids(desk, status="open") == [row["episode"]]

    async def test_a_word_about_an_earlier_transition_is_refused(self, desk: Desk) -> None:
        row = episode("A", sequence=3)
        await desk.put("episodes", row)

        outcome = await desk.records.resolve(ALL, row["episode"], replace(SAID, sequence=2))
        assert outcome is Outcome.MOVED
        assert await ids(desk, status="open") == [row["episode"]]
        outcome = await desk.records.resolve(ALL, row["episode"], replace(SAID, sequence=3))
        assert outcome is Outcome.DONE

    async def test_a_resolution_stands_in_the_audit_log_with_its_reason(self, desk: Desk) -> None:
        row = episode("A")
        await desk.put("episodes", row)
        await desk.records.resolve(ALL, row["episode"], SAID)
        await desk.records.resolve(ALL, id_of("none"), SAID)
        await desk.records.record(Act("ops", "sweep", CREDIT, minutes(31), {"rules": [CREDIT]}))

        detail = {"resolved_by": "Ada", "notes": "row corrected", "sequence": 0}
        assert await desk.audit() == [
            Act("ops", "resolve", row["episode"], minutes(30), detail),
            Act("ops", "sweep", CREDIT, minutes(31), {"rules": [CREDIT]}),
        ]

    async def test_runs_come_newest_first(self, desk: Desk) -> None:
        rows = [run(1), run(2, ESCROW), run(3, state="failed"), run(4, kind="seed")]
        await desk.put("runs", *rows)

        async def found(page: Page | None = None, **filters: Any) -> list[str]:
            wanted = Wanted(**{"scope": ALL, **filters})
            return [row["run"] for row in await desk.records.list_runs(wanted, page or Page(100))]

        assert await found() == [row["run"] for row in reversed(rows)]
        assert await found(Page(1, Place(minutes(3), rows[2]["run"]))) == [rows[1]["run"]]
        assert await found(status="failed") == [rows[2]["run"]]
        assert await found(rule=ESCROW, since=minutes(2), until=minutes(3)) == [rows[1]["run"]]
        assert await found(scope=ONLY_ESCROW) == [rows[1]["run"]]
        one = await desk.records.find_run(ALL, rows[0]["run"])
        assert one is not None
        assert one["value"] == rows[0]["value"]
        assert await desk.records.find_run(ONLY_ESCROW, rows[0]["run"]) is None

    async def test_the_newest_runs_are_sweeps_one_over_and_one_not(self, desk: Desk) -> None:
        await desk.put("runs", run(1), run(2), run(3, state="running"), run(4, state="merged"))
        await desk.put("runs", run(5, kind="seed"), run(6, ESCROW, state="failed"))

        found = await desk.records.latest_runs(ALL)

        wanted = {
            (CREDIT, "done", minutes(2)),
            (CREDIT, "running", minutes(3)),
            (ESCROW, "failed", minutes(6)),
        }
        assert {(row["rule"], row["state"], row["started_at"]) for row in found} == wanted
        assert [row["rule"] for row in await desk.records.latest_runs(ONLY_ESCROW)] == [ESCROW]

    async def test_rules_stand_by_partition_and_by_what_is_open(self, desk: Desk) -> None:
        await desk.put("status", status(0), status(1, None), status(0, rule=ESCROW, state="blind"))
        handled, over = episode("B"), episode("C", state="resolved", resolved_at=minutes(1))
        await desk.put("episodes", episode("A"), handled, over, episode("D", severity="low"))
        await desk.records.resolve(ALL, handled["episode"], SAID)

        found = await desk.records.standing(ALL)

        assert [(row["rule"], row["partition"], row["verified_through"]) for row in found.partitions] == [
            (CREDIT, 0, minutes(0)),
            (CREDIT, 1, None),
            (ESCROW, 0, minutes(0)),
        ]
        assert {(row["severity"], row["status"], row["count"]) for row in found.open} == {
            ("critical", "open", 1),
            ("critical", "resolved_by_hand", 1),
            ("low", "open", 1),
        }
        scoped = await desk.records.standing(ONLY_ESCROW)
        assert ([row["state"] for row in scoped.partitions], list(scoped.open)) == (["blind"], [])

    async def test_a_key_has_its_episodes_and_its_transitions_in_order(self, desk: Desk) -> None:
        old, new = episode("A", 1, sequence=1), episode("A", 5)
        await desk.put("episodes", old, new, episode("B", 2), episode("A", 3, ESCROW))
        opened, resolved = transition({**old, "sequence": 0}, at=1), transition(old, "resolved", at=2)
        await desk.put("transitions", transition(new, at=5), resolved, opened)

        found = await desk.records.history(CREDIT, "A")

        assert [row["id"] for row in found.episodes] == [new["episode"], old["episode"]]
        assert [(row["transition"], row["at"]) for row in found.transitions] == [
            ("opened", minutes(1)),
            ("resolved", minutes(2)),
            ("opened", minutes(5)),
        ]
        assert found.transitions[0]["value"]["transition"] == "opened"
        nothing = await desk.records.history(CREDIT, "nobody")
        assert (list(nothing.episodes), list(nothing.transitions)) == ([], [])

    async def test_dead_letters_are_listed_found_and_marked(self, desk: Desk) -> None:
        rows = [dead_letter(1), dead_letter(2, "webhook", None), dead_letter(3, rule=ESCROW)]
        await desk.put("dead_letters", *rows)

        async def found(page: Page | None = None, **filters: Any) -> list[str]:
            wanted = Wanted(**{"scope": ALL, **filters})
            return [row["id"] for row in await desk.records.list_dead_letters(wanted, page or Page(100))]

        assert await found() == ["run-3", "webhook-2", "run-1"]
        assert await found(Page(1, Place(minutes(3), "run-3"))) == ["webhook-2"]
        assert await found(kind="run", since=minutes(1), until=minutes(3)) == ["run-1"]
        assert await found(scope=ONLY_ESCROW) == ["run-3"]
        assert await found(rule=CREDIT) == ["run-1"]
        letters = await desk.records.find_dead_letters(ALL, ["run-1", "webhook-2", "nothing"])
        assert {row["id"] for row in letters} == {"run-1", "webhook-2"}
        assert await desk.records.find_dead_letters(ONLY_ESCROW, ["run-1", "webhook-2"]) == []

        await desk.records.mark_replayed(["run-1"], minutes(9))
        marked = await desk.records.find_dead_letters(ALL, ["run-1", "run-3"])
        assert {row["id"]: row["replayed_at"] for row in marked} == {"run-1": minutes(9), "run-3": None}
