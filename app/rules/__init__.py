"""Rule files: loading, checking, and the compiled readers of both sides."""

from __future__ import annotations

from app.rules.document import Problem
from app.rules.loader import inspect_rules, load_document, load_rules
from app.rules.mapping import ContractTable, LeftMapping, LoadedRule, RightMapping, RuleSettings

__all__ = [
    "ContractTable",
    "LeftMapping",
    "LoadedRule",
    "Problem",
    "RightMapping",
    "RuleSettings",
    "inspect_rules",
    "load_document",
    "load_rules",
]
