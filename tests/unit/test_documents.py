"""The documents: their commands exist, their links lead somewhere, their tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.cli import build
from app.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "connectors", "schemas")
DOCUMENTS = [ROOT / "README.md", *sorted(path for each in FOLDERS for path in (ROOT / each).rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def commands() -> set[str]:
    program = build()
    named = {each.name or each.callback.__name__ for each in program.registered_commands}  # type: ignore[union-attr]
    return named | {str(group.name) for group in program.registered_groups}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    spoken = set(re.findall(r"(?:`|\n)driftwatch ([a-z][a-z-]+)(?![a-z])(?! a )", text))
    assert spoken <= commands()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = set(re.findall(r"(?:`|\n)make ([a-z-]+)", text))
    assert made <= targets


def test_every_test_that_is_named_in_the_documents_is_there() -> None:
    text = (ROOT / "app" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`", text)
    assert named
    for path, function in named:
        source = ROOT / path
        assert source.exists(), path
        assert f"def {function}" in source.read_text(encoding="utf-8") if function else True


def test_the_readme_names_the_two_commands_and_shows_a_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
    assert re.search(r"!\[[^\]]+\]\(app/demo/demo\.svg\)", text)


def test_every_setting_is_documented() -> None:
    text = (ROOT / "app" / "README.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        spelled = f"_{name.upper()}`" if alias is None else str(getattr(alias, "choices", [alias])[0])
        assert spelled in text, name
