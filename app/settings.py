"""What the environment and the configuration file say, validated once; secrets are never printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import Fatal
from app.settings_file import find_settings_file, read_settings_file

RULES_FOLDER = Path(__file__).parent / "rules"
Port = Annotated[int, Field(ge=0, le=65535)]


class Address(NamedTuple):
    """Where a process serves, and the `setting` that decides the port."""

    host: str
    port: int
    setting: str


class Settings(BaseSettings):
    """Frozen. Names in the environment: `DRIFTWATCH_<FIELD>` unless an alias is given."""

    model_config = SettingsConfigDict(
        env_prefix="DRIFTWATCH_",
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, `host:port[,host:port]`."""
    database: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/postgres")
    """DSN of the database whose rows are reconciled."""
    desk_database: SecretStr = SecretStr("")
    """DSN of the database in which the desk keeps schema recon; empty: `database`."""
    connect_url: str = ""
    """A Kafka Connect worker to use; empty: `driftwatch connect` runs one of its own (Java, Maven)."""
    connect_folder: Path | None = None
    """Where Connect of our own keeps settings and log; None: a temporary folder."""
    topic_prefix: str = ""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    """N, for all co-partitioned topics."""
    replication_factor: Annotated[int, Field(ge=1)] = 1
    rules: Annotated[tuple[Path, ...], NoDecode] = (RULES_FOLDER / "credit.yaml",)
    """Rule files (comma-separated in the environment)."""
    app_id: str = "driftwatch"
    """The worker's Faust id: consumer group and prefix of its changelog topics."""
    source: str = "db"
    """The name of the database as a source: Debezium's `topic.prefix`."""
    slot: str = "driftwatch"
    publication: str = "driftwatch"
    heartbeat_ms: Annotated[int, Field(ge=50)] = 1000
    """How often a mark is written into each partition."""
    worker_slot: str | None = None
    """One of a fixed, supervised set of workers: a static member id, held by a lock file. None: dynamic."""
    session_timeout_s: Annotated[float, Field(ge=6)] = 30.0
    """How long a killed worker blocks its partitions; a worker frozen for half of it ends itself."""
    from_empty: bool = False
    """Both histories began with the topics: what was never heard of is absent, not unknown."""
    poll_linger_ms: Annotated[int, Field(ge=0)] = 10
    poller_interval_ms: Annotated[int, Field(ge=10)] = 1000
    metrics_host: str = "127.0.0.1"
    worker_port: Port = 9101
    poller_port: Port = 9102
    connect_port: Port = 9103
    sweeper_port: Port = 9104
    recorder_port: Port = 9105
    notifier_port: Port = 9106
    api_metrics_port: Port = 9107
    canary_port: Port = 9108
    """`/metrics`, `/healthz` and `/readyz` of each process; 0 picks a free one."""

    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    """Where `driftwatch api` listens; 0 picks a free port."""
    api_key: SecretStr = SecretStr("")
    """A key of role operator for every rule, beside those of `driftwatch api keys`; empty: none."""
    api_rate: Annotated[float, Field(ge=0)] = 20.0
    """Requests a second of one API key, twice as many at once; 0: no limit."""
    api_triggers_per_minute: Annotated[float, Field(ge=0)] = 6.0
    """Requests for sweeps of one API key; 0: no limit."""

    sweep_rate: Annotated[float, Field(ge=0)] = 6000.0
    """Most keys a second that a sweep reads; 0: no limit."""
    sweep_page: Annotated[int, Field(ge=1, le=1000)] = 1000
    """Rows a transaction of a sweep."""
    before_images: bool = False
    """The sweeper asks the ledger of every change that an event told of what the entry was before."""
    reconciliation_interval_ms: Annotated[int, Field(ge=0)] = Field(
        default=3_600_000, validation_alias="RECONCILIATION_INTERVAL_MS"
    )
    """How often a rule is swept whose file does not say; 0: only when somebody asks."""
    run_immediately: bool = Field(
        default=False, validation_alias=AliasChoices("RECONCILIATION_RUN_IMMEDIATELY", "RUN_IMMEDIATELY")
    )
    """Sweep every rule when the sweeper starts."""

    persistent_after: Annotated[str, Field(pattern=r"^\d+(ms|s|m|h|d)$")] = "1h"
    """Critical drift that has been open for longer than this is persistent, and has an alert of its own."""

    retain: Annotated[str, Field(pattern=r"^(0|\d+(ms|s|m|h|d))$")] = "400d"
    """How long the desk keeps what is over; 0: for ever. What is open stays."""

    webhooks: Path | None = None
    """File of the targets that `driftwatch notifier` tells; None: nobody is told."""

    rpc_url: SecretStr = Field(default=SecretStr("http://127.0.0.1:8000"), validation_alias="SOROBAN_RPC_URL")
    """One or more addresses of nodes of one network, separated by commas; the first is asked first."""
    rpc_headers: SecretStr = SecretStr("")
    """Sent with every call of a node: `Name: value; Name: value`."""
    rpc_rate: Annotated[float, Field(ge=0)] = 0.0
    """Calls a second that one node is asked at most; 0: no limit."""
    rpc_daily_calls: Annotated[int, Field(ge=0)] = 0
    """Calls a day of all nodes together, three quarters for the tip of the chain, one for sweeps; 0: any."""
    network_passphrase: str = Field(
        default="Test SDF Network ; September 2015", validation_alias="STELLAR_NETWORK_PASSPHRASE"
    )

    @property
    def desk_dsn(self) -> SecretStr:
        """Where schema recon is."""
        return self.desk_database if self.desk_database.get_secret_value() else self.database

    def metrics_address(self, process: str) -> Address:
        """Where the process that is named as its port is shows what it measures."""
        field = f"{process}_port"
        return Address(self.metrics_host, getattr(self, field), f"DRIFTWATCH_{field.upper()}")

    def topic(self, name: str) -> str:
        """The topic's name with the configured prefix."""
        return self.topic_prefix + name


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and, where it says nothing, from the configuration file; raises `Fatal`
    with every problem named at once."""
    rules = overrides.pop("rules", None)
    path = find_settings_file(os.environ, Path())
    stated = {} if path is None else _read_file(path)
    if rules is None:
        listed = os.environ.get("DRIFTWATCH_RULES", "")
        rules = tuple(Path(part.strip()) for part in listed.split(",") if part.strip())
    if rules:
        overrides["rules"] = rules
    try:
        return Settings(**{**stated, **overrides})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        place = "the environment" if path is None else f"the environment and {path}"
        raise Fatal("reading", place, problems, "correct these variables and start again") from error


def environment_names(name: str) -> tuple[str, ...]:
    """The variables that give a setting; the first one that is set does."""
    alias = Settings.model_fields[name].validation_alias
    if alias is None:
        return (f"DRIFTWATCH_{name.upper()}",)
    return tuple(str(each) for each in getattr(alias, "choices", [alias]))


def _read_file(path: Path) -> dict[str, object]:
    """What the file says and the environment does not."""
    fields = Settings.model_fields
    said = {name.upper() for name, value in os.environ.items() if value}
    given = {name for name in fields if not said.isdisjoint(environment_names(name))}
    file = read_settings_file(path, os.environ, fields, given)
    found: dict[str, object] = dict(file.stated)
    for name in file.stated:
        annotation = str(fields[name].annotation)
        if "tuple" in annotation and "Path" in annotation:
            found[name] = file.paths(name)
        elif "Path" in annotation:
            found[name] = file.folder / str(file.stated[name])
    return found
