"""Mutants of the detector that no test can, or should, tell from the original, each with the reason."""

from __future__ import annotations

from typing import Final, NamedTuple


class Explained(NamedTuple):
    """Changes that make no difference. `line`: what the line contains, or the end of the one before and the
    beginning of this one; `changes`: (what stands there, what stands there now)."""

    file: str
    line: str
    changes: tuple[tuple[str, str], ...]
    why: str


_ONE_MORE: Final = (("1", "2"),)
_DATE: Final = "when a silent key is looked at again: a microsecond, or a look that finds nothing new"
_LEDGER: Final = "no event is of ledger 0 or 1"
_NONE: Final = "a position that stands for none: only whether it is negative counts"
_LIMIT: Final = "how the work is spread, or how much is kept in memory: never what is told"
_UNREAD: Final = "nobody reads it there"
_SAME: Final = "where both are equal both ways lead to the same"

EXPLAINED: Final = (
    Explained("judge.py", "max(judged, through + 1)", (*_ONE_MORE, ("through + 1", "through - 1")), _DATE),
    Explained("judge.py", "max(due, through + 1)", (*_ONE_MORE, ("through + 1", "through - 1")), _DATE),
    Explained("judge.py", "wait = 0 if state.record", (("0", "1"),), _DATE),
    Explained("judge.py", "if move > through or", (("move > through", "move >= through"), *_ONE_MORE), _DATE),
    Explained(
        "judge.py", "if version.at > through:", (("version.at > through", "version.at >= through"),), _DATE
    ),
    Explained("judge.py", "gone = record.until", _ONE_MORE, "a stretch that begins then reopens nothing"),
    Explained("judge.py", "if judged <= gone:", (("judged <= gone", "judged < gone"),), "the same"),
    Explained(
        "judge.py",
        "if state_horizon(state) < record.until:",
        (("state_horizon(state) < record.until", "state_horizon(state) <= record.until"),),
        "a horizon that stands there is moved to where it stands, or to what is judged",
    ),
    Explained(
        "judge.py",
        """self.keys.count(f"confirmed_{self.teller.confirmed}")
                self.keys.changed.records.add(key)""",
        (("self.keys.changed.records.add(key)", "None"),),
        "a turn lies before what is judged now and after what was: that makes the record durable as well",
    ),
    Explained("judge.py", "strict=False):", (("False", "True"),), "a key that is named is held"),
    Explained("judge.py", "(at, at + 1))", _ONE_MORE, "the first microsecond counts"),
    Explained("judge.py", "(start - 1, start))", _ONE_MORE, "the last microsecond counts"),
    Explained(
        "judge.py",
        "if len(row.versions) > 1 and forget_versions",
        (("len(row.versions) > 1", "len(row.versions) >= 1"),),
        "one version alone is never forgotten",
    ),
    Explained(
        "judge.py",
        "Segment(at, at + 1, OK, 0, left, right)",
        (("at + 1", "at - 1"), ("0", "1"), *_ONE_MORE),
        _UNREAD,
    ),
    Explained("left.py", "at = change.at if", (("change.at > newest.at", "change.at >= newest.at"),), _SAME),
    Explained(
        "left.py",
        "if held[-1].value == UNKNOWN and",
        (("held[-1].at < read.read_at", "held[-1].at <= read.read_at"),),
        "a read at the beginning of a loss falls into it, and is not settled",
    ),
    Explained("left.py", "RowState(-1, watermark", _ONE_MORE, _NONE),
    Explained("left.py", "Version(read.read_at, -1, ABSENT", _ONE_MORE, _NONE),
    Explained("left.py", "Version(-INFINITY, -1, UNKNOWN", _ONE_MORE, _NONE),
    Explained("left.py", "return None, False", (("False", "True"),), _UNREAD),
    Explained("values.py", "Context(prec=1000)", (("1000", "1001"),), "more digits than there can be"),
    Explained("values.py", "@lru_cache(", (("4096", "4097"),), _LIMIT),
    Explained(
        "values.py", "reached = field.severities", (("0", "1"),), "the first step is for any difference"
    ),
    Explained(
        "right.py",
        "is_exact = read.value",
        (
            (
                "read.value != ABSENT or read.read_ledger == modified",
                "read.value != ABSENT and read.read_ledger == modified",
            ),
        ),
        "the common case only saves time",
    ),
    Explained(
        "right.py",
        "if held.value == UNKNOWN and held.trace",
        (
            (
                "held.value == UNKNOWN and held.trace is not None",
                "held.value == UNKNOWN or held.trace is not None",
            ),
        ),
        "an event before the one that is held may be learned as well: more is known, nothing else",
    ),
    Explained("right.py", "if modified < 0 or", (("modified < 0", "modified <= 0"), ("0", "1")), _LEDGER),
    Explained(
        "right.py",
        "read.modified_ledger >= 0",
        (("read.modified_ledger >= 0", "read.modified_ledger > 0"), ("0", "1")),
        _LEDGER,
    ),
    Explained("right.py", "return ReadOutcome(None,", (("False", "True"),), _UNREAD),
    Explained("right.py", "return right.versions[0].position", (("0", "1"),), "a newer absence is stale too"),
    Explained("right.py", "for i in range(len(versions) - 1,", _ONE_MORE, "a turn more, which finds nothing"),
    Explained(
        "right.py",
        "if i < 0 or i == len(versions) - 1 or",
        (("len(versions) - 1", "len(versions) + 1"),),
        "the newest version then has the value that was read",
    ),
    Explained("timeline.py", "BIRTH = Version", _ONE_MORE, _NONE),
    Explained("timeline.py", "_size(versions[-1])", _ONE_MORE, "all are taken to be as large as any"),
    Explained("model.py", "INFINITY: Final", (*_ONE_MORE, ("60", "61")), "as far beyond any time"),
    Explained("model.py", "@dataclass(frozen=True, slots=True)", (("True", "False"),), "nobody writes to it"),
    Explained("segments.py", "EXISTENCE: Final", (*_ONE_MORE, ("62", "63")), "any bit beyond the fields'"),
    Explained("segments.py", "        return 0", (("0", "1"),), "without a row only existence is compared"),
    Explained("segments.py", "if until >= end:", (("until >= end", "until > end"),), _SAME),
    Explained("segments.py", "start = piece[0] if", (("piece[0] > judged", "piece[0] >= judged"),), _SAME),
    Explained("segments.py", "if covered < (until if", (("until < end", "until <= end"),), _SAME),
    Explained("detector.py", "SPREAD: Final", (("30", "31"),), _LIMIT),
    Explained("detector.py", "LOT: Final", (("20000", "20001"),), _LIMIT),
    Explained(
        "detector.py",
        "self._judge.one_sided.clear()",
        (("self._judge.one_sided.clear()", "None"),),
        "the next look says anew what is unknown",
    ),
    Explained("detector.py", "self._events = (0, 0)", (("0", "1"),), "nothing waits yet"),
    Explained(
        "detector.py",
        "max(mute.from_us, self.verified_through + 1)",
        (("self.verified_through + 1", "self.verified_through - 1"),),
        _DATE,
    ),
    Explained("episode.py", "self.decided = (0, 0, 0)", (("0", "1"),), "set before anything is told"),
    Explained("keys.py", "LIVE_STATES: Final", (("10000", "10001"),), _LIMIT),
    Explained(
        "keys.py",
        "len(self.live) > LIVE_STATES",
        (("len(self.live) > LIVE_STATES", "len(self.live) >= LIVE_STATES"),),
        _LIMIT,
    ),
    Explained(
        "keys.py",
        "left.laid < len(self.left.past):",
        (("state.left.laid < len(self.left.past)", "state.left.laid <= len(self.left.past)"),),
        "laying nothing over a state changes nothing",
    ),
    Explained(
        "keys.py",
        "right.laid < len(self.right.past):",
        (("state.right.laid < len(self.right.past)", "state.right.laid <= len(self.right.past)"),),
        "laying nothing over a state changes nothing",
    ),
    Explained("keys.py", "-1 if event.ends_epoch", _ONE_MORE, _NONE),
    Explained(
        "join.py",
        "_age(theirs) > _age(own)",
        (("_age(theirs) > _age(own)", "_age(theirs) >= _age(own)"),),
        "no two changes have one position",
    ),
    Explained(
        "join.py",
        "return piece.position >= 0",
        (("piece.position >= 0", "piece.position > 0"), ("0", "1")),
        "no change has position 0",
    ),
    Explained("join.py", "cuts = {first,", (("piece.at > first", "piece.at >= first"),), "a set"),
    Explained("schedule.py", "if held is None or at < held:", (("at < held", "at <= held"),), _SAME),
    Explained("unverifiable.py", "strict=True):", (("True", "False"),), "all three have two"),
    Explained("trust.py", "since = clocks.apart_since or 0", (("0", "1"),), "what ends has begun"),
)


def explain(file: str, lines: str, change: tuple[str, str]) -> str | None:
    """Why a change makes no difference; None where nobody has said so. `lines`: its line and the one
    before."""
    for each in EXPLAINED:
        if each.file == file and each.line in lines and change in each.changes:
            return each.why
    return None
