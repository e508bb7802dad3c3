"""A first rule for a table and a contract, out of what both say of themselves: guesses for a person."""

from __future__ import annotations

from app.rules.scaffold.candidates import Candidate, candidates_of
from app.rules.scaffold.interface import (
    Column,
    ContractInterface,
    EventShape,
    Function,
    KeyCase,
    Kind,
    Part,
    Struct,
    Type,
)
from app.rules.scaffold.writing import Scaffold, write_scaffold

__all__ = [
    "Candidate",
    "Column",
    "ContractInterface",
    "EventShape",
    "Function",
    "KeyCase",
    "Kind",
    "Part",
    "Scaffold",
    "Struct",
    "Type",
    "candidates_of",
    "write_scaffold",
]
