"""Who a key belongs to, and why one is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.api.keys import Caller, Doorkeeper, hash_key, make_key
from app.api.memory import MemoryRecords
from app.cases import Role, Scope
from tests.support.desk_rows import CREDIT, minutes

NOW_US = 1_785_585_600_000_000
"""Noon, as in `desk_rows`."""


def test_nothing_of_a_key_but_its_id_is_kept() -> None:
    made = make_key("ada", Role.VIEWER, Scope(), minutes(0))

    assert len({make_key("ada", Role.VIEWER, Scope(), minutes(0)).text for _ in range(50)}) == 50
    secret = made.text.removeprefix(f"dw_{made.record.id}_")
    assert len(secret) == 43, "256 bits"
    assert secret not in repr(made.record)
    assert made.record.hash == hash_key(made.text)


async def test_a_good_key_has_its_name_its_role_and_its_rules() -> None:
    made = make_key("ada", Role.APPROVER, Scope(frozenset({CREDIT})), minutes(0))
    door = Doorkeeper(MemoryRecords(keys={made.record.id: made.record}))

    caller = await door.admit(made.text, NOW_US)

    assert caller == Caller(made.record.id, "ada", Role.APPROVER, Scope(frozenset({CREDIT})))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "missing"),
        ("", "missing"),
        ("secret", "malformed"),
        ("dw_0000000000000000_" + "A" * 43, "unknown"),
        ("dw_0000000000000000_" + "A" * 42, "malformed"),
        ("the bootstrap key ", "malformed"),
    ],
)
async def test_what_is_no_key_is_refused(text: str | None, why: str) -> None:
    assert await Doorkeeper(MemoryRecords(), "the bootstrap key").admit(text, NOW_US) == why


async def test_the_id_of_a_key_with_another_secret_is_unknown() -> None:
    made = make_key("ada", Role.VIEWER, Scope(), minutes(0))
    other = make_key("bob", Role.VIEWER, Scope(), minutes(0)).text
    forged = f"dw_{made.record.id}_{other[-43:]}"

    assert (
        await Doorkeeper(MemoryRecords(keys={made.record.id: made.record})).admit(forged, NOW_US) == "unknown"
    )


async def test_a_key_ends_with_its_time_and_with_its_revocation() -> None:
    made = make_key("ada", Role.VIEWER, Scope(), minutes(-10), minutes(0))
    records = MemoryRecords(keys={made.record.id: made.record})
    door = Doorkeeper(records)

    assert isinstance(await door.admit(made.text, NOW_US - 1), Caller)
    assert await door.admit(made.text, NOW_US) == "expired"
    records.keys[made.record.id] = replace(made.record, revoked_at=minutes(-5))
    assert await door.admit(made.text, NOW_US - 1) == "revoked"


async def test_the_bootstrap_key_is_an_operator_of_every_rule() -> None:
    door = Doorkeeper(MemoryRecords(), "the bootstrap key")

    caller = await door.admit("the bootstrap key", NOW_US)

    assert isinstance(caller, Caller)
    assert (caller.name, caller.role, caller.scope) == ("environment", Role.OPERATOR, Scope())
    assert await Doorkeeper(MemoryRecords(), "").admit("the bootstrap key", NOW_US) == "malformed"


def test_a_role_may_do_what_those_below_it_may() -> None:
    assert [role for role in Role if role.covers(Role.OPERATOR)] == [Role.OPERATOR, Role.APPROVER]
    assert all(role.covers(Role.VIEWER) for role in Role)
