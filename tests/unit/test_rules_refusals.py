"""Malformed rule files: every problem by its file, its path, what is wrong and what is allowed; no file,
however broken, raises anything else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.errors import Fatal
from app.rules import Problem, inspect_rules, load_rules
from app.rules.building import build
from app.rules.document import Document, fill_in, parse_yaml
from app.rules.validation import validate_form
from app.settings import RULES_FOLDER

CREDIT = RULES_FOLDER / "credit.yaml"
ENVIRONMENT = {"CREDIT_CONTRACT_ID": "C"}
Place = tuple[str | int, ...]
TOLERANCE = "fields.creditLimit.tolerance"


def problems(folder: Path, content: str | bytes, *overrides: str) -> tuple[Problem, ...]:
    file = folder / "broken.yaml"
    file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    rules, found = inspect_rules([file], ENVIRONMENT, overrides)
    assert bool(rules) != bool(found)
    assert all(problem.file == str(file) and problem.what for problem in found)
    return found


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is not a mapping"),
    "a comment": ("# nothing", "is not a mapping"),
    "a list": ("- rule: x", "is not a mapping"),
    "a word": ("rule", "is not a mapping"),
    "not UTF-8": (b"rule: \xff\xfe", "not UTF-8"),
    "zero bytes": (b"\x00\x00", "is not YAML"),
    "control bytes": ("rule: \x07", "is not YAML"),
    "not closed": ("rule: [", "is not YAML"),
    "a tab": ("left:\n\ttable: x", "is not YAML"),
    "two documents": ("rule: a\n---\nrule: b", "is not YAML"),
    "a code tag": ("rule: !!python/object/apply:os.system [ls]", "is not YAML"),
    "a key that is a list": ("? [a, b]\n: c", "a key must be one word"),
    "a key twice": ("left: {table: a, table: b}", "'table' stands twice"),
    "an alias to itself": ("rule: &a [*a]", "is not YAML"),
    "an alias of nothing": ("rule: *nowhere", "is not YAML"),
    "deep lists": ("rule: " + "[" * 2_000 + "]" * 2_000, "is not YAML"),
    "deep mappings": ("{a: " * 2_000 + "}" * 2_000, "is not YAML"),
    "a merge of a list": ("left:\n  <<: [a]\nrule: x", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_rule_says_so(tmp_path: Path, name: str) -> None:
    content, told = BROKEN[name]

    found = problems(tmp_path, content)

    assert any(told in str(problem) for problem in found)
    assert all(len(str(problem)) < 2000 for problem in found)


def test_a_bomb_of_aliases_is_refused_in_no_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    found = problems(tmp_path, "\n".join(lines))

    assert found[0].what.startswith("is not YAML: an alias (*name) is not taken here")


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    _, found = inspect_rules([tmp_path, tmp_path / "none.yaml"], {})

    assert [problem.what.split(":")[0] for problem in found] == ["cannot be read", "cannot be read"]


def test_no_file_at_all() -> None:
    with pytest.raises(Fatal, match="no rule file is given"):
        load_rules([], {})


@pytest.mark.parametrize(
    ("override", "path", "told"),
    [
        ("rule=Credit Line", "rule", "an id of a-z, 0-9 and -"),
        ("rule=" + "a" * 65, "rule", "an id of a-z"),
        ("version=1.5", "version", "a whole number from 1"),
        ("version=-1", "version", "a whole number from 1"),
        ("version=true", "version", "a whole number from 1"),
        ("version=null", "version", "a whole number from 1"),
        ("kind=stat", "kind", "state, match, balance or invariant"),
        ("window.lag=30", "window.lag", "250ms, 30s, 10m"),
        ("window.lag=-30s", "window.lag", "250ms, 30s, 10m"),
        ("window.lag=1w", "window.lag", "250ms, 30s, 10m"),
        ("window.lead=", "window.lead", "250ms, 30s, 10m"),
        ("window=30s", "window", "a mapping of lag, lead, skew and min"),
        ("window.Lag=30s", "window.Lag", "lag?"),
        ("left.tabel=x", "left.tabel", "table?"),
        ("left.table=credit_lines", "left.table", "schema"),
        ("left.table=a.b.c", "left.table", "schema"),
        ("left.scope=deleted", "left.scope", "a mapping of column"),
        ("left.out_of_scope=maybe", "left.out_of_scope", "agrees or absent"),
        ("left.replica_identity=nothing", "left.replica_identity", "full, default or index"),
        ("left.primary_key=[]", "left.primary_key", ""),
        ("right.contract=", "right.contract", ""),
        ("fields=[]", "fields", "a mapping"),
        ("fields.status=text", "fields.status", "a mapping of left, right, type"),
        ("fields.status.type=string", "fields.status.type", "text, integer, amount, address"),
        ("fields.status.severity=urgent", "fields.status.severity", "low, medium, high or critical"),
        ("fields.status.sensitive=yes", "fields.status.sensitive", "hash or omit"),
        ("fields.creditLimit.right_scale=39", "fields.creditLimit.right_scale", "from 0 to 38"),
        ("fields.creditLimit.right_scale=-1", "fields.creditLimit.right_scale", "from 0 to 38"),
        ("fields.status.right_scale=2", "fields.status.right_scale", "only with type amount"),
        (TOLERANCE + "={absolute: -1}", TOLERANCE + ".absolute", "such as 0.01"),
        (TOLERANCE + "={absolute: 1, relative: 1%}", TOLERANCE, "absolute"),
        ("fields.status.tolerance={absolute: 1}", "fields.status.tolerance", "only with type amount"),
        ("fields.status.left={plus: [a]}", "fields.status.left.plus", "at least two"),
        ("fields.status.left={times: [a, b]}", "fields.status.left.times", "plus"),
        ("fields.status.left={plus: [a, b], minus: [a, b]}", "fields.status.left", "one of const, plus"),
        ("fields.status.left={map: {a: b}}", "fields.status.left", "of"),
        ("fields.status.zone=Europe/Paris", "fields.status.zone", "only with type time"),
        ("fields.an odd name={left: a, right: b, type: text}", "fields", "letters, digits and _"),
        ("sweep={daily: 25:00}", "sweep.daily", "02:00"),
        ("sweep={daily: 02:00, zone: Mars/Base}", "sweep.zone", "tz database"),
        ("sweep={}", "sweep", "every"),
        ("confirm=maybe", "confirm", "off, or a mapping"),
        ("exempt=[{reason: x, fields: [nothing]}]", "exempt.0.fields", "creditLimit"),
        ("exempt=[{reason: x, from: 2026-08-02, until: 2026-08-01}]", "exempt.0", "from before until"),
        ("exempt=[{reason: x, from: 2026-02-30}]", "exempt.0.from", "such as 2026-08-01T10:00:00Z"),
        ("remedies=[{}]", "remedies.0.action", ""),
        ("=5", "=5", "path=value"),
        ("window..lag=5s", "window..lag=5s", "path=value"),
        ("window.lag=[", "window.lag=[", "not YAML"),
        ("description=${UNSET}", "description", "UNSET is not set"),
        ("left.key=${UNSET}x${OTHER}", "left.key", "OTHER, UNSET"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_is_allowed(
    tmp_path: Path, override: str, path: str, told: str
) -> None:
    found = problems(tmp_path, CREDIT.read_text(encoding="utf-8"), override)

    at_path = [str(problem) for problem in found if problem.path == path]
    assert at_path, [str(problem) for problem in found]
    assert any(told in one for one in at_path), at_path


def test_the_error_lists_every_problem_on_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text("rule: A\nversion: 0\nkind: state\nleft: {}\nright: {}\n", encoding="utf-8")

    with pytest.raises(Fatal) as raised:
        load_rules([file], {})

    head, *lines = str(raised.value).splitlines()
    assert f"{len(lines)} problem(s)" in head
    assert len(lines) >= 7
    assert all(line.strip().startswith(f"{file}: ") for line in lines)


# ---- every place of the shipped rule, broken in turn

ABSURD: list[Any] = [
    None, True, 0, -1, 10**30, "", " ", "x" * 10_000, "${", "${}", "\x00", "ﷺ", [], {}, [[]], [None],
    {"": None},
    {"x": {"y": {"z": []}}}, ["a"] * 1000,
]  # fmt: skip


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in below:
        yield (*at, step)
        yield from places(item, (*at, step))


CONTENT: Any = parse_yaml(CREDIT.read_text(encoding="utf-8"))
PLACES = list(places(CONTENT))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_an_absurd_value_anywhere_is_a_problem_or_a_rule(place: Place) -> None:
    for value in ABSURD:
        document = Document("rule.yaml", copy.deepcopy(CONTENT))
        holder: Any = document.content
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = value

        fill_in(document, ENVIRONMENT, lenient=False)
        validate_form(document)
        rule = build(document)

        assert (rule is None) == bool(document.problems)
        assert all(problem.what and len(problem.path) < 200 for problem in document.problems)


@pytest.mark.parametrize("place", [one for one in PLACES if len(one) == 1], ids=lambda place: str(place[0]))
def test_what_is_left_out_is_missed_or_has_a_default(tmp_path: Path, place: Place) -> None:
    content = {key: value for key, value in CONTENT.items() if key != place[0]}

    found = problems(tmp_path, yaml.safe_dump(content))

    is_optional = place[0] in ("description", "window", "sweep")
    assert [problem.path for problem in found] == ([] if is_optional else [place[0]])
