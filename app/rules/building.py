"""From a valid document to a `LoadedRule`; what is wrong in meaning is reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.detector.model import ABSENT, INFINITY, OUT, Exemption, Rule, Severity, Value, Window
from app.rules.canonical import microseconds
from app.rules.document import ANY_CONTRACT, Document
from app.rules.expressions import columns_of
from app.rules.fields import CompiledField, check_zone, compile_field, duration_us
from app.rules.joining import check_join, join_mapping, joined_fields, own_identity, own_readers
from app.rules.mapping import (
    ContractTable,
    LeftMapping,
    LoadedRule,
    RightMapping,
    RuleSettings,
    compile_key,
    compile_read,
    compile_row_id,
    compile_scope,
)

Stated = Mapping[str, Any]

_NOT_YET: Final = (
    ("left", "sampled"),
    ("right", "sampled"),
    ("right", "table"),
    ("right", "key"),
    ("right", "source"),
)


def build(document: Document) -> LoadedRule | None:
    """The compiled rule; None where the document has problems."""
    stated = document.content
    if stated is None:
        return None
    if all(document.is_sound(section) for section in ("kind", "left", "right")):
        _check_kind(stated, document)
    fields = _fields(stated, document)
    exemptions = _exemptions(stated, document)
    _check_names(stated, document)
    if document.problems:
        return None
    confirm = stated.get("confirm", {})
    rule = Rule(
        id=stated["rule"],
        version=stated["version"],
        fields=tuple(compiled.field for compiled in fields),
        window=_window(stated.get("window", {})),
        existence_severity=Severity(stated["fields"].get("existence", {}).get("severity", "critical")),
        hysteresis_us=duration_us(stated.get("hysteresis", "0s")),
        reopen_us=duration_us(stated.get("reopen", "10m")),
        blind_after_us=duration_us(stated.get("blind_after", "60s")),
        confirm_us=None if confirm in ("off", False) else duration_us(confirm.get("timeout", "10s")),
        left_source=stated["left"].get("source"),
        right_source=stated["right"].get("network"),
        joined=joined_fields(stated, [compiled.field.name for compiled in fields]),
        exemptions=exemptions,
    )
    return LoadedRule(
        rule,
        _left(stated, fields),
        _right(stated, fields, document.file),
        document.file,
        _digest(stated, document.file),
        _settings(stated),
        json.dumps(stated, ensure_ascii=False, separators=(",", ":")),
    )


def _check_kind(stated: Stated, document: Document) -> None:
    kind = stated["kind"]
    for other in ("match", "balance", "invariant"):
        if other in stated and other != kind:
            document.report(other, f"means nothing for kind {kind}", f"only with kind {other}")
    if kind != "state":
        if kind not in stated:
            document.report(kind, "is missing", f"kind {kind} needs it")
        document.report("kind", f"{kind} is valid, and not available yet", "state")
        return
    for side, name in _NOT_YET:
        if name in stated[side]:
            document.report(f"{side}.{name}", "is valid, and not available yet")
    for side, name in (("left", "table"), ("left", "key"), ("right", "entry")):
        if name not in stated[side]:
            document.report(f"{side}.{name}", "is missing", "kind state needs it")
    _check_contract(stated["right"], document)
    check_join(stated, document)
    if "fields" not in stated:
        document.report("fields", "is missing", "kind state needs it")


def _check_contract(right: Stated, document: Document) -> None:
    if "contract" not in right and "mapping" not in right:
        document.report("right.contract", "is missing", "kind state needs it, or right.mapping")
    if "contract" in right and "mapping" in right:
        document.report("right.mapping", "stands beside right.contract", "one of them")
    if "decoder" in right and not decoder_path(document.file, right["decoder"]).is_file():
        document.report("right.decoder", f"there is no file {right['decoder']!r} beside the rule")


def _fields(stated: Stated, document: Document) -> list[CompiledField]:
    if not isinstance(stated.get("fields"), dict):
        return []
    listed = [
        (name, field)
        for name, field in stated["fields"].items()
        if name != "existence" and document.is_sound(f"fields.{name}")
    ]
    return [done for name, field in listed if (done := compile_field(name, field, document)) is not None]


def _check_names(stated: Stated, document: Document) -> None:
    fields = stated.get("fields")
    known = {"existence", *(fields if isinstance(fields, dict) else ())}
    for section in ("exempt", "remedies"):
        if not document.is_sound(section):
            continue
        for index, item in enumerate(stated.get(section, ())):
            for name in item.get("fields", ()):
                if name not in known:
                    document.report(
                        f"{section}.{index}.fields",
                        f"{name!r} is no field of this rule",
                        ", ".join(sorted(known)),
                    )
    if document.is_sound("sweep") and "zone" in stated.get("sweep", {}):
        check_zone(stated["sweep"]["zone"], "sweep.zone", document)


def _exemptions(stated: Stated, document: Document) -> tuple[Exemption, ...]:
    found: list[Exemption] = []
    if not document.is_sound("exempt"):
        return ()
    for index, item in enumerate(stated.get("exempt", ())):
        limits = []
        for word, unlimited in (("from", -INFINITY), ("until", INFINITY)):
            instant = microseconds(item[word]) if word in item else unlimited
            if instant is None:
                document.report(
                    f"exempt.{index}.{word}", f"{item[word]!r} is no time", "such as 2026-08-01T10:00:00Z"
                )
            limits.append(unlimited if instant is None else instant)
        if limits[0] >= limits[1]:
            document.report(f"exempt.{index}", "ends before it begins", "from before until")
        found.append(
            Exemption(
                item.get("key"), frozenset(item.get("fields", ())), limits[0], limits[1], item["reason"]
            )
        )
    return tuple(found)


def _window(stated: Stated) -> Window:
    skew = duration_us(stated.get("skew", "2s"))
    return Window(
        lag_us=duration_us(stated.get("lag", "30s")),
        lead_us=duration_us(stated.get("lead", "10s")),
        skew_us=skew,
        min_us=duration_us(stated["min"]) if "min" in stated else skew,
    )


def _left(stated: Stated, fields: list[CompiledField]) -> LeftMapping:
    left, rule = stated["left"], stated["rule"]
    table, key, scope = left["table"], left["key"], left.get("scope", {})
    given = left.get("primary_key")
    primary_key = None if given is None else (given,) if isinstance(given, str) else tuple(given)
    needed = [key, *(primary_key or ()), *scope]
    joined = joined_fields(stated, [field.field.name for field in fields])
    by_field = [
        frozenset(() if place in joined else columns_of(stated["fields"][field.field.name]["left"]))
        for place, field in enumerate(fields)
    ]
    for place, field in enumerate(fields):
        needed += [] if place in joined else columns_of(stated["fields"][field.field.name]["left"])
    readers = [field.left for field in fields]
    mine = own_readers(stated, readers, joined)
    outside: Value = ABSENT if left.get("out_of_scope") == "absent" else OUT
    return LeftMapping(
        source=left.get("source"),
        table=table,
        key=key,
        primary_key=primary_key,
        columns=tuple(dict.fromkeys(needed)),
        read=compile_read(mine, compile_scope(scope), outside, (rule, table)),
        key_of=compile_key(rule, table, key),
        row_id=own_identity(compile_row_id(rule, table, primary_key, key), is_joined="join" in left),
        images_are_full=left.get("replica_identity") == "full",
        join=join_mapping(stated, readers, joined),
        field_columns=tuple(by_field),
    )


def decoder_path(file: str, stated: str) -> Path:
    """Where a decoder stands: beside the rule file, unless the path is absolute."""
    return (Path(file).parent / stated).resolve()


def _right(stated: Stated, fields: list[CompiledField], file: str) -> RightMapping:
    right, rule = stated["right"], stated["rule"]
    entry, scope = right["entry"], right.get("scope", {})
    needed = list(scope)
    for field in fields:
        needed += columns_of(stated["fields"][field.field.name]["right"])
    return RightMapping(
        network=right.get("network"),
        contract=None if right.get("contract") == ANY_CONTRACT else right.get("contract"),
        entry=entry,
        columns=tuple(dict.fromkeys(needed)),
        read=compile_read(
            [field.right for field in fields], compile_scope(scope), OUT, (rule, f"entry {entry}")
        ),
        contracts=ContractTable(**right["mapping"]) if "mapping" in right else None,
        decoder=None if "decoder" not in right else decoder_path(file, right["decoder"]),
    )


def _settings(stated: Stated) -> RuleSettings:
    flapping, sweep = stated.get("flapping", {}), stated.get("sweep", {})
    return RuleSettings(
        flaps=flapping.get("flaps", 5),
        flapping_within_us=duration_us(flapping.get("within", "1h")),
        sweep_every_us=duration_us(sweep["every"]) if "every" in sweep else None,
        sweep_daily=sweep.get("daily"),
        sweep_zone=ZoneInfo(sweep.get("zone", "UTC")).key,
        fail_run_on=sweep.get("fail_run_on"),
        remedies=tuple(stated.get("remedies", ())),
    )


def _digest(stated: Stated, file: str) -> str:
    """Of everything that decides a verdict, in the order of the fields, and of the decoder. What the rule is
    called, and when it is swept, decide none."""
    said = {key: value for key, value in stated.items() if key not in ("description", "sweep")}
    if "decoder" in stated["right"]:
        source = decoder_path(file, stated["right"]["decoder"]).read_bytes()
        said["decoder"] = hashlib.sha256(source).hexdigest()
    order = list(stated["fields"])
    canonical = json.dumps([said, order], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
