"""The decoder module of a scaffold: complete as it is, with what was guessed in comments."""

from __future__ import annotations

from collections.abc import Iterator

from app.rules.scaffold.candidates import Candidate
from app.rules.scaffold.interface import ContractInterface, Kind
from app.rules.scaffold.names import words_of

_FRAME = '''"""The entry `{entry}` of a contract, by its interface; GUESS marks what that does not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.soroban.decoding import {imports}


class {name}:
    """{spelled}."""

    entry = "{entry}"
{topics}
    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """GUESS: every {key} in an event may be a key; one too many costs a read, one too few is missed."""
        return named_in(topics, data, "{tag}")

    def ledger_key(self, contract: str, key: str) -> str:
        """GUESS: persistent storage, under {place}."""
        return {ledger_key}

    def value(self, found: ContractData) -> dict[str, Any]:
        """{what}"""
{value}

DECODER = {name}()
'''
_STRUCT = """        value = fields_of(found.value)
        if not value:
            raise Poison("decoding", f"{self.entry} of {found.contract}", "it is no struct")
        return value
"""
_SCALAR = """        return {{"{part}": plain(found.value)}}
"""


def decoder_text(interface: ContractInterface, chosen: Candidate) -> str:
    """A module that `right.decoder` can name."""
    is_struct = chosen.value.kind is Kind.STRUCT
    case, tag = chosen.case, chosen.key.type.tag
    names = {"ContractData", "Decoded", "named_in"} | ({"Poison", "fields_of"} if is_struct else {"plain"})
    if case is None:
        names |= {"key_value", "persistent_key"}
        ledger_key = f'persistent_key(contract, key_value("{tag}", key))'
    elif chosen.key.type.kind is Kind.ADDRESS:
        names.add("variant_of_address_key")
        ledger_key = f'variant_of_address_key(contract, "{case.name}", key)'
    else:
        names |= {"key_value", "persistent_key", "variant"}
        ledger_key = f'persistent_key(contract, variant("{case.name}", key_value("{tag}", key)))'
    listed = ", ".join(sorted(names, key=lambda each: (each.islower(), each)))
    return _FRAME.format(
        entry=chosen.name,
        imports=listed if len(listed) < 60 else f"(\n    {listed.replace(', ', f',{chr(10)}    ')},\n)",
        name="".join(word.capitalize() for word in words_of(chosen.name)) or "Entry",
        spelled=chosen.spelled,
        topics="".join(_topics(interface)),
        key=chosen.key.type.spelled,
        tag=tag,
        place="the key itself" if case is None else f"vec[sym:{case.name}, {chosen.key.type.spelled}]",
        ledger_key=ledger_key,
        what=f"Every field of {chosen.value.spelled} by name, amounts as decimal strings."
        if is_struct
        else "The amount, as a decimal string.",
        value=_STRUCT if is_struct else _SCALAR.format(part=chosen.parts[0].name),
    )


def _topics(interface: ContractInterface) -> Iterator[str]:
    """Where the interface names its events, their first topics; else the poller takes all of them."""
    first = sorted({event.topics[0] for event in interface.events if event.topics})
    if first and all(event.topics for event in interface.events):
        listed = "".join(f'            "{topic}",\n' for topic in first)
        yield "    # GUESS: every event that may change an entry begins with one of these\n"
        yield f"    topics = frozenset(\n        {{\n{listed}        }}\n    )\n"
