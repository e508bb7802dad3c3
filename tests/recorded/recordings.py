"""Where the recorded records stand: a folder beside the repository. Without it these tests fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

FIXTURES: Final = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"


def load(name: str) -> Any:
    """The parsed file, such as `debezium/00_one_of_each.json`; fails with what is missing where."""
    path = FIXTURES / name
    if not path.is_file():
        pytest.fail(
            f"{path} is missing: `make test-recorded` needs the folder `shared` beside the repository; "
            "`make test` runs without it",
            pytrace=False,
        )
    return json.loads(path.read_text(encoding="utf-8"))
