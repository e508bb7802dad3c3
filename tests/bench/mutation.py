"""Mutation testing of the detector: `python -m tests.bench.mutation --count 100 --seed 1`.

Each mutant is one small change of one file of `app/detector` in a copy of the tree; the suites run until one
test fails. What survives every suite is printed, to be killed by a test or explained in `equivalent.py`.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.bench.equivalent import explain

ROOT = Path(__file__).parents[2]
SUITES = (
    ("tests/unit/detector",),
    ("tests/simulation/test_simulate_worlds.py", "tests/properties/test_detector_laws.py"),
    ("tests/simulation/test_invariants.py",),
)
TIMEOUT_S = 300
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Mult: ast.FloorDiv,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change: the file, the line, what stood there and what stands there now, and the whole new text."""

    path: Path
    line: int
    before: str
    after: str
    text: str


def find_mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its nodes."""
    source = path.read_text(encoding="utf-8")
    count = sum(1 for _ in ast.walk(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[number]
        before = copy.deepcopy(node)
        if not isinstance(node, ast.expr | ast.stmt) or not _change(node):
            continue
        text = ast.unparse(ast.fix_missing_locations(tree))
        yield Mutant(path, node.lineno, ast.unparse(before), ast.unparse(node), text)


def _change(node: ast.expr | ast.stmt) -> bool:
    """Change a node in place; False where nothing of it is changed."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
        return True
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _is_type(node):
        node.op = OPERATORS[type(node.op)]()
        return True
    if isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return True
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
        node.func.id = NAMES[node.func.id]
        return True
    return _change_flow(node)


def _change_flow(node: ast.expr | ast.stmt) -> bool:
    """Take the other branch, or do not call."""
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        node.value = ast.Constant(None)
    else:
        return False
    return True


def _is_type(node: ast.BinOp) -> bool:
    """`str | None` says nothing at run time."""
    return isinstance(node.op, ast.BitOr) and not any(
        isinstance(each, ast.Name) and ("mask" in each.id or each.id in ("agreed", "EXISTENCE", "found"))
        for each in ast.walk(node)
    )


def survives(mutant: Mutant, folder: Path) -> bool:
    """Do all suites pass with it?"""
    target = folder / mutant.path.relative_to(ROOT)
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for suite in SUITES:
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *suite]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
            )
            if done.returncode != 0:
                return False
    except subprocess.TimeoutExpired:
        return False
    finally:
        target.write_text(original, encoding="utf-8")
    return True


def copy_tree(folder: Path) -> Path:
    """The parts of the tree that the suites need."""
    for name in ("app", "connectors", "schemas", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main() -> int:
    """Print each survivor and the score; exit code 0 whatever the score: a person judges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="files whose name contains this")
    options = parser.parse_args()
    files = sorted(path for path in (ROOT / "app" / "detector").glob("*.py") if options.only in path.name)
    mutants = [mutant for path in files for mutant in find_mutants(path)]
    chosen = random.Random(options.seed).sample(mutants, min(options.count, len(mutants)))
    with tempfile.TemporaryDirectory() as folder:
        copies = [copy_tree(Path(folder) / str(job)) for job in range(options.jobs)]
        with ThreadPoolExecutor(options.jobs) as pool:

            def run(job: int) -> list[Mutant]:
                found = []
                for mutant in chosen[job :: options.jobs]:
                    is_alive = survives(mutant, copies[job])
                    if is_alive:
                        found.append(mutant)
                    place = f"{mutant.path.name}:{mutant.line}"
                    why = _why(mutant) if is_alive else None
                    word = "killed  " if not is_alive else "SURVIVED" if why is None else "the same"
                    change = f"{_short(mutant.before)}  ->  {_short(mutant.after)}"
                    print(f"{word} {place}  {change}{'' if why is None else f'  ({why})'}", flush=True)
                return found

            alive = [mutant for found in pool.map(run, range(options.jobs)) for mutant in found]
    killed, same = len(chosen) - len(alive), sum(_why(mutant) is not None for mutant in alive)
    print(f"{killed} of {len(chosen)} killed ({killed / len(chosen):.1%}), of {len(mutants)} that there are")
    print(f"{same} make no difference, {len(alive) - same} survived")
    return 0


def _why(mutant: Mutant) -> str | None:
    lines = mutant.path.read_text(encoding="utf-8").splitlines()[max(mutant.line - 2, 0) : mutant.line]
    return explain(mutant.path.name, "\n".join(lines), (_short(mutant.before), _short(mutant.after)))


def _short(text: str) -> str:
    line = text.splitlines()[0]
    return line if len(line) <= 90 else line[:89] + "…"


if __name__ == "__main__":
    raise SystemExit(main())
