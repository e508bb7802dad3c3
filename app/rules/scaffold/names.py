"""How alike two names are, whatever case they are written in."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def words_of(name: str) -> tuple[str, ...]:
    """`creditLimit`, `CREDIT_LIMIT` and `credit-limit` are all (credit, limit)."""
    return tuple(word.lower() for word in _WORD.findall(name))


def snake(name: str) -> str:
    return "_".join(words_of(name))


def kebab(name: str) -> str:
    return "-".join(words_of(name))


def camel(name: str) -> str:
    first, *rest = words_of(name) or ("field",)
    return first + "".join(word.capitalize() for word in rest)


def likeness(first: str, second: str) -> float:
    """1: the same words. 0.6 to 0.9: the words of one are among the other's. Else how alike they are spelled,
    0.9 at most."""
    mine, theirs = words_of(first), words_of(second)
    if not mine or not theirs:
        return 0.0
    if "".join(mine) == "".join(theirs):
        return 1.0
    shared = len(set(mine) & set(theirs)) / len(set(mine) | set(theirs))
    is_part = set(mine) <= set(theirs) or set(theirs) <= set(mine)
    spelled = SequenceMatcher(None, "".join(mine), "".join(theirs)).ratio()
    return max(0.6 + 0.3 * shared if is_part else 0.0, 0.9 * spelled)
