"""The texts of a scaffold: a rule file, and a decoder where none ships; every guess says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from app.rules.scaffold.candidates import Candidate
from app.rules.scaffold.decoder import decoder_text
from app.rules.scaffold.fields import ENOUGH, Guess, comparison, is_text
from app.rules.scaffold.interface import NUMBERS, Column, ContractInterface, Kind
from app.rules.scaffold.names import camel, likeness, snake, words_of

_HOLDERS: Final = {
    "address",
    "wallet",
    "account",
    "owner",
    "holder",
    "borrower",
    "user",
    "investor",
    "member",
}
_HOLDER_BONUS: Final = 0.3
_ID_BONUS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The files, by name: the rule's comes first."""

    rule: str
    files: dict[str, str]
    compared: int


def write_scaffold(
    interface: ContractInterface, table: str, columns: Sequence[Column], candidates: Sequence[Candidate]
) -> Scaffold:
    """The rule for the first candidate; the others are named in a comment. It loads as it is written."""
    chosen, others = candidates[0], candidates[1:]
    key = _key_column(chosen, columns)
    guesses = _with_key(chosen, key)
    entry = chosen.shipped or chosen.name
    module = None if chosen.shipped else f"{snake(entry)}_decoder.py"
    lines = [
        f"# Written by `driftwatch rules scaffold {interface.contract} {table}`,",
        "# to be corrected, not trusted.",
        "# GUESS marks what was guessed from names and types; take the word away where you have looked.",
        *_unmatched(chosen, guesses, columns, key),
        *(
            f"# Another entry that the contract seems to have (--entry {each.name}): {each.spelled}"
            for each in others
        ),
        f"rule: {entry}",
        "version: 1",
        "kind: state",
        "window: {lag: 30s, lead: 10s, skew: 2s}    # GUESS: how late a row may follow, how early lead",
        "left:",
        f"  table: {_flow(table)}",
        f"  key: {_flow(key.name)}    # GUESS: {_why_key(chosen)}",
        *_identity(columns),
        *_scope(columns),
        "right:",
        f"  contract: {interface.contract}",
        f"  entry: {entry}    # {_why_entry(chosen)}",
        *([] if module is None else [f"  decoder: {module}"]),
        "fields:",
        "  existence: {severity: critical}",
        *(_field_line(guess) for guess in guesses),
    ]
    files = {f"{entry}.yaml": "\n".join(lines) + "\n"}
    if module is not None:
        files[module] = decoder_text(interface, chosen)
    return Scaffold(entry, files, len(guesses))


def _key_column(chosen: Candidate, columns: Sequence[Column]) -> Column:
    """The column whose name and type speak most for it; there is always one."""
    readable = [column for column in columns if column.is_readable] or list(columns)
    is_number = chosen.key.type.kind in NUMBERS

    def speaks(column: Column) -> float:
        bonus = 0.0
        if chosen.key.type.kind is Kind.ADDRESS:
            bonus = _HOLDER_BONUS if _HOLDERS & set(words_of(column.name)) else 0.0
        elif "id" in words_of(column.name):
            bonus = _ID_BONUS
        fits = is_text(column) or (is_number and column.type in ("smallint", "integer", "bigint"))
        return (likeness(column.name, chosen.key.name) + bonus) * (1.0 if fits else 0.1)

    return max(readable, key=speaks)


def _with_key(chosen: Candidate, key: Column) -> list[Guess]:
    """The guesses, and the key's own part where the entry repeats it."""
    guesses = list(chosen.guesses)
    met = {guess.part.name for guess in guesses}
    if any(guess.column.name == key.name for guess in guesses):
        return guesses
    for part in chosen.parts:
        is_key = (
            part.type.spelled == chosen.key.type.spelled and likeness(part.name, chosen.key.name) >= ENOUGH
        )
        found = comparison(key, part) if is_key and part.name not in met else None
        if found is not None:
            return [Guess(key, part, ENOUGH, *found), *guesses]
    return guesses


def _why_key(chosen: Candidate) -> str:
    asked = chosen.getter or chosen.key.name
    return f"what {asked} is asked with: {chosen.key.name}, {chosen.key.type.spelled}, as text"


def _why_entry(chosen: Candidate) -> str:
    if chosen.shipped:
        return f"the decoder that ships for {chosen.value.spelled}"
    return f"GUESS: {chosen.spelled}"


def _identity(columns: Sequence[Column]) -> Iterator[str]:
    placed = sorted((one for one in columns if one.key_place is not None), key=lambda one: one.key_place or 0)
    names = [column.name for column in placed]
    if names and names != ["id"]:
        yield f"  primary_key: {_flow(names)}"


def _scope(columns: Sequence[Column]) -> Iterator[str]:
    if any(column.name == "deleted_at" for column in columns):
        yield "  scope: {deleted_at: null}    # GUESS: rows with a time in it are deleted"
        yield "  out_of_scope: absent"


def _field_line(guess: Guess) -> str:
    severity = "critical" if guess.stated["type"] in ("amount", "address") else "medium"
    stated = _flow({**guess.stated, "severity": severity})
    sure = "" if guess.alike == 1.0 else f"; the names are {guess.alike:.0%} alike"
    return f"  {camel(guess.column.name)}: {stated}    # GUESS: {guess.why}{sure}"


def _unmatched(
    chosen: Candidate, guesses: Sequence[Guess], columns: Sequence[Column], key: Column
) -> Iterator[str]:
    mine = {guess.column.name for guess in guesses} | {key.name, "deleted_at"}
    theirs = {guess.part.name for guess in guesses}
    left = [f"{one.name} ({one.type})" for one in columns if one.name not in mine]
    right = [f"{one.name} ({one.type.spelled})" for one in chosen.parts if one.name not in theirs]
    for what, names in (("Columns", left), ("Parts of the entry", right)):
        if names:
            yield f"# {what} that nothing was found for: {', '.join(names)}"


def _flow(value: Any) -> str:
    """One line of YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=1 << 20, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n...\n").strip()
