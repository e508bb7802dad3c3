"""What style says that a test holds: sizes, words, clocks, addresses, and where SQL may stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).name
SOURCES = ("app", "connectors", "schemas", "tests")
TEXTS = (
    ".py",
    ".sql",
    ".yaml",
    ".yml",
    ".md",
    ".toml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".xml",
    ".properties",
    "",
)
GENERATED = {"__pycache__", "node_modules", "data"}
LIMIT = 400
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
CLOCK = "app/clock.py"
CLOCK_CALLS = {
    "time.sleep",
    "asyncio.sleep",
    "time.time",
    "time.monotonic",
    "time.perf_counter",
    "datetime.now",
    "datetime.utcnow",
}
DATABASE_CALLS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare", "cursor"}
WAITER = "tests/support/waiting.py"


def files(*suffixes: str, folders: tuple[str, ...] = SOURCES) -> Iterator[Path]:
    """Files of the repository by suffix, nothing that a tool made."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes and not GENERATED & set(path.parts):
                yield path


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    yield from enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)


def everything() -> Iterator[Path]:
    yield from files(*TEXTS)
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and path.name != ".git")
    yield from sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file())


MODULES = {name_of(path): path.read_text(encoding="utf-8") for path in files(".py")}
TREES = {name: ast.parse(text) for name, text in MODULES.items()}


def test_a_file_has_at_most_four_hundred_lines() -> None:
    assert {name for name, text in MODULES.items() if len(text.splitlines()) > LIMIT} == set()


def test_a_module_says_what_it_owns() -> None:
    silent = {name for name, tree in TREES.items() if tree.body and not ast.get_docstring(tree)}
    assert silent == set()


def test_no_module_or_class_is_named_by_a_word_that_says_nothing() -> None:
    found = {
        (name, word)
        for name, tree in TREES.items()
        for word in (*Path(name).stem.split("_"), *_words_of_classes(tree))
        if word in FORBIDDEN_NAMES
    }
    assert found == set()


def _words_of_classes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (word.lower() for word in re.findall("[A-Z][a-z0-9]*", node.name))


def test_only_the_clock_sleeps_and_reads_time() -> None:
    found = {
        (name, node.lineno)
        for name, tree in TREES.items()
        if name not in (CLOCK, WAITER)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and _called(node) in CLOCK_CALLS) or _takes_a_clock(node)
    }
    assert found == set()


def _takes_a_clock(node: ast.AST) -> bool:
    """`from time import sleep` and the like: the call could not be told any more."""
    if not isinstance(node, ast.ImportFrom):
        return False
    return any(f"{node.module}.{alias.name}" in CLOCK_CALLS for alias in node.names)


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def test_sql_stands_in_sql_files() -> None:
    found = {
        (name, node.lineno)
        for name, tree in TREES.items()
        if not name.startswith("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_told_sql(node)
    }
    assert found == set()


def _is_told_sql(node: ast.Call) -> bool:
    """A literal that is handed to a connection (hints that show a person a statement are none)."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in DATABASE_CALLS or not node.args:
        return False
    first = node.args[0]
    text = first.values[0] if isinstance(first, ast.JoinedStr) and first.values else first
    return isinstance(text, ast.Constant) and isinstance(text.value, str) and " " in text.value.strip()


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = re.compile(r"pytest\.(skip|xfail|importorskip)|mark\.(skip|skipif|xfail)")
    found = [
        f"{name_of(path)}:{number}"
        for path in files(".py", folders=("tests",))
        if path.name != HERE
        for number, line in lines_of(path)
        if marks.search(line)
    ]
    assert found == []


def test_the_repository_names_no_machine_and_no_registry() -> None:
    machine = re.compile(
        r"(?<![\w.])/(home|Users|root|work)/\w|index-url|pypi\.org|repo1?\.maven\.(org|apache)|registry\.npmjs"
    )
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in everything()
        if path.name != HERE
        for number, line in lines_of(path)
        if machine.search(line)
    ]
    assert found == []
