"""Loading rule files: all of them, or one `Fatal` that names every problem of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.errors import Fatal
from app.rules.building import build
from app.rules.document import Document, Problem, fill_in, override, read_document
from app.rules.mapping import LoadedRule
from app.rules.validation import validate_form


def load_rules(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    *,
    lenient_environment: bool = False,
) -> tuple[LoadedRule, ...]:
    """The rules in the order of the files; raises `Fatal` with all problems, one a line.

    `overrides` (`window.lag=30s`) hold for every file. `lenient_environment`: an unset variable in
    `right.contract` means any contract.
    """
    loaded, problems = inspect_rules(paths, environ, overrides, lenient_environment=lenient_environment)
    if problems:
        listed = "\n  ".join(str(problem) for problem in problems)
        raise Fatal("loading", "rules", f"{len(problems)} problem(s)\n  {listed}", "")
    return loaded


def inspect_rules(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    *,
    lenient_environment: bool = False,
) -> tuple[tuple[LoadedRule, ...], tuple[Problem, ...]]:
    """The rules that are right, and every problem of the others."""
    loaded: list[LoadedRule] = []
    problems: list[Problem] = []
    for path in paths:
        document = read_document(path)
        rule = _compile(document, environ, overrides, lenient=lenient_environment)
        if rule is not None:
            problems += _clashes(rule, loaded)
            loaded.append(rule)
        problems += document.problems
    if not paths:
        problems.append(Problem("(none)", "", "no rule file is given", "at least one"))
    return tuple(loaded), tuple(problems)


def load_document(document: str, path: str) -> LoadedRule:
    """A rule from its `LoadedRule.document`; `path` is where its file stood. Raises `Fatal` with all
    problems."""
    read = Document(path, json.loads(document))
    validate_form(read)
    rule = build(read)
    if rule is None:
        listed = "\n  ".join(str(problem) for problem in read.problems)
        raise Fatal("loading", f"the rule in force from {path}", listed, "")
    return rule


def _compile(
    document: Document, environ: Mapping[str, str], overrides: Sequence[str], *, lenient: bool
) -> LoadedRule | None:
    if document.content is None:
        return None
    override(document, overrides)
    fill_in(document, environ, lenient=lenient)
    validate_form(document)
    return build(document)


def _clashes(rule: LoadedRule, others: Sequence[LoadedRule]) -> list[Problem]:
    """Two rules of one id; two rules that key one table differently (one of them would need re-keying)."""
    found = []
    for other in others:
        if other.rule.id == rule.rule.id:
            what = f"{rule.rule.id!r} is also the id in {other.path}"
            found.append(Problem(rule.path, "rule", what, "unique ids"))
            continue
        keys = {(left.source, left.table): left.key for left in other.left.tables}
        for left in rule.left.tables:
            key = keys.get((left.source, left.table), left.key)
            if key != left.key:
                what = f"rule {other.rule.id} keys the table by {key!r}; re-keying is not available yet"
                path = "left.key" if left is rule.left else "left.join.on"
                found.append(Problem(rule.path, path, what, key))
    return found
