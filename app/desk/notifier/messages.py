"""What targets are sent: CloudEvents as JSON, and the same in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.detector.values import derive_id, format_time
from app.notices import Burst, Event, Flapping, Kind, Message, Notice, Queued, Severity, Transition

_SHOWN: Final = 3


def to_json(event: Event) -> str:
    """The body, the same text for the same event."""
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS).decode()


def transition_notice(transition: Transition, target: str, *, is_held: bool) -> Notice:
    """Tells a transition under the id of its event."""
    return Notice(
        id=transition.id,
        target=target,
        kind=transition.kind,
        rule=transition.rule,
        lane=transition.lane,
        episode=transition.episode,
        severity=transition.severity,
        at_us=transition.at_us,
        payload=to_json(transition.event),
        is_held=is_held,
    )


def flapping_notice(transition: Transition, began: str, flaps: int, target: str, *, is_held: bool) -> Notice:
    """Tells that a key flaps, instead of the transition that made it so."""
    notice_id = derive_id("flapping", transition.rule, transition.key, began)
    data = {
        "rule": transition.rule,
        "key": transition.key,
        "severity": transition.severity.value,
        "flaps": flaps,
        "last": transition.event["data"],
    }
    event = _event(notice_id, Kind.FLAPPING, transition.rule, transition.at_us, data)
    return Notice(
        id=notice_id,
        target=target,
        kind=Kind.FLAPPING,
        rule=transition.rule,
        lane=transition.lane,
        episode=transition.episode,
        severity=transition.severity,
        at_us=transition.at_us,
        payload=to_json(event),
        is_held=is_held,
    )


def calm_notice(state: Flapping, lane: tuple[str, str], at_us: int, target: str, *, is_held: bool) -> Notice:
    """Tells that a key does not flap any more, and how it stands: the last transition, told or not."""
    last = state.last or {}
    rule, key = lane[0], str(last["data"]["key"])
    notice_id = derive_id("calm", rule, key, state.began)
    severity = Severity(last["data"]["severity"])
    data = {
        "rule": rule,
        "key": key,
        "severity": severity.value,
        "quiet": state.quiet,
        "last": last["data"],
    }
    return Notice(
        id=notice_id,
        target=target,
        kind=Kind.CALM,
        rule=rule,
        lane=lane[1],
        episode=str(last["data"]["episode"]),
        severity=severity,
        at_us=at_us,
        payload=to_json(_event(notice_id, Kind.CALM, rule, at_us, data)),
        is_held=is_held,
    )


def group_notice(burst: Burst) -> Notice:
    """One notice for many: counts, and the first ones whole. Its id follows from the first one's."""
    notice_id = derive_id("group", burst.target, burst.rule, burst.first_id)
    severity = max((each for _, each in burst.counts), key=list(Severity).index)
    data = {
        "rule": burst.rule,
        "severity": severity.value,
        "count": sum(burst.counts.values()),
        "keys": burst.keys,
        "since": format_time(burst.since_us),
        "until": format_time(burst.until_us),
        "counts": [
            {"type": kind, "severity": each.value, "count": count}
            for (kind, each), count in sorted(burst.counts.items())
        ],
        "first": list(burst.first),
    }
    return Notice(
        id=notice_id,
        target=burst.target,
        kind=Kind.GROUP,
        rule=burst.rule,
        lane=None,
        episode=None,
        severity=severity,
        at_us=burst.until_us,
        payload=to_json(_event(notice_id, Kind.GROUP, burst.rule, burst.until_us, data)),
    )


def probe_message(target: str, at_us: int) -> Message:
    """A message that says of itself, in every part of it, that it is a test."""
    said = f"This is a test of the webhook target {target}: nothing has drifted"
    notice_id = derive_id("test", target, at_us)
    data = {"test": True, "target": target, "message": said}
    payload = to_json(_event(notice_id, Kind.TEST, "test", at_us, data))
    return Message(notice_id, payload, "driftwatch: test", said)


def message_of(queued: Queued) -> Message:
    """What is carried of a notice."""
    title, text = in_words(orjson.loads(queued.payload))
    return Message(queued.id, queued.payload, title, text)


def in_words(event: Event) -> tuple[str, str]:
    """A title and a text that a person reads."""
    kind, data = str(event["type"]).rpartition(".")[2], event["data"]
    head = f"{data['severity']}: {data['rule']}"
    if kind == Kind.GROUP:
        counted = [
            f"{each['count']} {each['type'].rpartition('.')[2]} ({each['severity']})"
            for each in data["counts"]
        ]
        title = f"{head}: {data['count']} transitions of {data['keys']} keys"
        return title, f"{', '.join(counted)}; {data['since']} to {data['until']}"
    if kind == Kind.FLAPPING:
        return f"{head} {data['key']} flaps", f"reopened {data['flaps']} times; quiet until it is calm"
    if kind == Kind.CALM:
        stands = f"now {data['last']['transition']}, after {data['quiet']} transitions that were not told"
        return f"{head} {data['key']} is calm again", stands
    return f"{head} {data['key']} {kind}", _differences(data)


def _differences(data: Mapping[str, Any]) -> str:
    if not data["differences"]:
        return f"in sync again since {data['until']} ({data['cause']})"
    shown = [
        f"{each['field']}: {_word(each['left'])} | {_word(each['right'])}"
        for each in data["differences"][:_SHOWN]
    ]
    more = len(data["differences"]) - len(shown)
    return f"since {data['since']}; " + ", ".join(shown) + (f" and {more} more" if more else "")


def _word(value: object) -> str:
    return "unknown" if value is None else str(value)


def _event(event_id: str, kind: Kind, rule: str, at_us: int, data: Mapping[str, object]) -> Event:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/driftwatch/{rule}",
        "type": f"drift.notice.{kind.value}",
        "time": format_time(at_us),
        "datacontenttype": "application/json",
        "data": data,
    }
