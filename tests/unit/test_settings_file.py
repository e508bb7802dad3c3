"""The configuration file: what it may say, what wins over it, and the one that `driftwatch init` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import build
from app.errors import Fatal
from app.settings import Settings, environment_names, load_settings
from app.settings_file import read_settings_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRIFTWATCH_CONFIG", raising=False)
    for name in Settings.model_fields:
        for variable in environment_names(name):
            monkeypatch.delenv(variable, raising=False)
    return tmp_path


def write(text: str, path: str = "driftwatch.yaml") -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return place


def problems_of(text: str) -> str:
    write(text)
    with pytest.raises(Fatal) as caught:
        load_settings()
    return str(caught.value)


def test_it_is_found_in_the_working_directory_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("kafka: broker:9092\npartitions: 7\nrpc_url: http://node.example\nsweep_rate: 0.50\n")
    monkeypatch.setenv("DRIFTWATCH_PARTITIONS", "3")
    settings = load_settings()
    assert (settings.kafka, settings.partitions, settings.sweep_rate) == ("broker:9092", 3, 0.5)
    assert settings.rpc_url.get_secret_value() == "http://node.example"
    monkeypatch.setenv("SOROBAN_RPC_URL", "http://other.example")
    assert load_settings().rpc_url.get_secret_value() == "http://other.example"
    assert load_settings(partitions=5).partitions == 5


def test_a_variable_names_another_place_and_paths_are_relative_to_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("rules: [mine/*.yaml, more.yaml]\nconnect_folder: kept\n", "etc/here.yaml")
    write("", "etc/mine/b.yaml")
    write("", "etc/mine/a.yaml")
    monkeypatch.setenv("DRIFTWATCH_CONFIG", "etc/here.yaml")
    settings = load_settings()
    assert [str(path) for path in settings.rules] == ["etc/mine/a.yaml", "etc/mine/b.yaml", "etc/more.yaml"]
    assert settings.connect_folder == Path("etc/kept")
    monkeypatch.setenv("DRIFTWATCH_RULES", "one.yaml,two.yaml")
    assert load_settings().rules == (Path("one.yaml"), Path("two.yaml"))


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "wisdom")
    write("database: postgresql://me:${PASSWORD}@host/app\n")
    assert load_settings().database.get_secret_value() == "postgresql://me:wisdom@host/app"
    assert "wisdom" not in repr(load_settings())


def test_every_problem_is_named_at_once_with_its_line() -> None:
    said = problems_of("kafak: x\npartitions: 4\npartitions: 5\ndatabase: ${NOT_SET}/x\nslot: {a: b}\n")
    assert "line 1: kafak is no setting; kafka?" in said
    assert "line 3: partitions stands twice" in said
    assert "line 4: database: NOT_SET is not set in the environment" in said
    assert "line 5: slot is neither a value nor a list" in said


def test_an_unset_variable_is_no_problem_where_the_environment_gives_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("database: ${NOT_SET}\n")
    monkeypatch.setenv("DRIFTWATCH_DATABASE", "postgresql://host/app")
    assert load_settings().database.get_secret_value() == "postgresql://host/app"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("partitions: many\n", "partitions: Input should be a valid integer"),
        ("[1, 2]", "no mapping of settings"),
        ("a: [", "it is no YAML"),
    ],
)
def test_what_is_no_configuration_is_refused(text: str, told: str) -> None:
    said = problems_of(text)
    assert told in said
    assert "driftwatch.yaml" in said


def test_a_file_that_is_named_and_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTWATCH_CONFIG", "nowhere.yaml")
    with pytest.raises(Fatal, match=r"nowhere\.yaml"):
        load_settings()


def test_nothing_and_an_empty_file_say_nothing() -> None:
    assert load_settings() == Settings()
    write("# a comment\nworker_slot:\nconnect_folder: null\n")
    assert load_settings() == Settings()


def test_init_writes_a_file_that_says_what_holds_anyway_and_never_overwrites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = CliRunner()
    first = run.invoke(build(), ["init"])
    assert first.exit_code == 0
    assert "driftwatch rules scaffold CONTRACT TABLE" in first.output
    monkeypatch.setenv("DATABASE_PASSWORD", "x")
    settings, defaults = load_settings(), Settings()
    same = set(Settings.model_fields) - {"database", "rules"}
    assert {name: getattr(settings, name) for name in same} == {
        name: getattr(defaults, name) for name in same
    }
    assert settings.rules == ()
    text = Path("driftwatch.yaml").read_text(encoding="utf-8")
    assert all(f"{name}:" in text for name in Settings.model_fields)

    Path("driftwatch.yaml").write_text("slot: mine\n", encoding="utf-8")
    again = run.invoke(build(), ["init"])
    assert isinstance(again.exception, Fatal)  # exit code 2 (app/cli/__init__.py)
    assert "it is there already: slot" in str(again.exception)
    assert Path("driftwatch.yaml").read_text(encoding="utf-8") == "slot: mine\n"
    assert run.invoke(build(), ["init", "--force"]).exit_code == 0
    assert Path("driftwatch.yaml").read_text(encoding="utf-8") == text


def test_every_commented_default_of_init_is_a_value_that_the_file_may_say(folder: Path) -> None:
    CliRunner().invoke(build(), ["init"])
    lines = Path("driftwatch.yaml").read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("# ---- everything else"))
    stated = "\n".join(line.removeprefix("# ") for line in lines[start + 1 :])
    path = write(stated)
    found = read_settings_file(path, {}, Settings.model_fields)
    assert found.stated["slot"] == "driftwatch"
    assert load_settings() == Settings()
