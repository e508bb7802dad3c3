"""The report of a run: Markdown with every figure and its 95 % bounds, how to get it again, a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from app.simulation.forest import Bar, draw_bars
from app.simulation.runs import HOUR_US, Run
from app.simulation.scenarios import NOT_COVERED
from app.simulation.score import Score, Tally
from app.simulation.statistics import percentile, wilson

OWN = "driftwatch"
_WAYS_NOTE = (
    "An alarm counts as right where any true violation, however short, overlaps the time from the record",
    "that set it off to its end; a drift counts as found where an alarm overlaps it. The hourly one reads",
    "both sides at one and the same instant, which no real one can; what is planted here heals within",
    "minutes, and most of it between two of its looks. Latency runs from the drift's beginning.",
)
_SCENARIOS_NOTE = (
    "`declared` misses lie in stretches that were declared unverifiable; `undeclared` ones may not be. Where",
    "no input is lost after seeding, nothing is unverifiable. The share is of key-time, and an upper bound:",
    "every unknown piece as far as its effect reaches.",
)
_LOSSES_NOTE = (
    "Told: a jump of offsets or of ledgers says that something was lost, not of which key, so all keys of",
    "the partition are unverifiable until the sweep that follows. Silent: records vanish without a jump.",
    "What a before-image, the next event or a sweep then reveals is declared and withdrawn (`input_lost`);",
    "until then it can raise a false alarm or hide a drift. Confirmed: both sides of a key are read live",
    "before any turn of an episode is told. Losses end five minutes before the last sweep: what is lost",
    "after it nothing can show. An entry change without event is no lost record but a contract that tells",
    "nothing; one that is overwritten before anybody reads it stands in the ledgers only. Before-images too:",
    "of each event the ledger is asked what the entry was before it, whoever suspects anything",
    "(`DRIFTWATCH_BEFORE_IMAGES`).",
    "",
    "A late end: the drift was there when it was told, and what ended it was lost in silence, so it was told",
    "as over with the next change or sweep only. Confirming reads what the entry was since the last live",
    "read, and so finds it. An undeclared miss: what was changed in silence was changed back, or over,",
    "before anybody had a reason to look; nothing shows it afterwards.",
    "",
    "`each record`: what somebody would declare who knew of each lost record: from the lost change to the",
    "next one of its key that was told, or the next sweep. `each notice`: who knew each stretch in which",
    "something was lost, and not of which key: the same, of every key of the partition. The ratios are what",
    "was declared to that, with 95 % bounds from how the partitions scatter. A told loss declares what its",
    "notice leaves open (less on the right side, where an unknown value matters only if no known one within",
    "the window is equal). One record lost among hundreds of keys makes the ratio to `each record` so large,",
    "and only a notice that names its keys could lower it: what an entry that is read later proves about the",
    "stretch comes after the stretch was judged. Of silent losses there is no notice. On the left, without",
    "confirming, what a before-image disproves is unknown since the change before: half of that, on the",
    "average, is from before the lost one. With confirming the next alarm finds it: less than twice.",
)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """A run in a terminal."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name in (
        "worlds",
        "key_hours",
        "true_drifts",
        "false_alarms",
        "undeclared_misses",
        "declared_misses",
        "unverifiable_share",
        "precision",
        "recall",
        "latency_p50_s",
        "latency_p99_s",
        "elapsed_s",
        "key_hours_per_s",
    ):
        table.add_row(name.replace("_", " "), str(summary[name]))
    for name, counts in summary["by_cause"].items():
        table.add_row(f"  {name}", f"{counts['found']} of {counts['true']} found")
    return table


def write_report(run: Run, silent: Run, path: Path) -> None:
    """Write the report, and its picture beside it under the same name with `.svg`. `silent`: the worlds whose
    losses nothing tells of."""
    path.write_text(render(run, silent), encoding="utf-8")
    path.with_suffix(".svg").write_text(picture(run), encoding="utf-8")


def render(run: Run, silent: Run) -> str:
    """The report as Markdown."""
    total = run.total
    last = max(total.seeds)
    lines = [
        "# How often the detector is right",
        "",
        f"`driftwatch simulate --seed {run.seed} --key-hours {run.asked_key_hours:.0f} "
        f"--jobs {run.jobs}`: {total.worlds} worlds, seeds {run.seed} to {last}, the scenarios in turn; "
        f"{_minutes(run.elapsed_s)} on {run.jobs} cores "
        f"({total.key_us / HOUR_US / run.elapsed_s:,.0f} key-hours a second).",
        "",
        *_headline(total),
        "",
        "## By cause",
        "",
        *_table(
            ("cause", "true drifts", "found", "recall, at least (95 %)"),
            (
                (cause, f"{true:,}", f"{found:,}", _low(found, true))
                for cause, (true, found) in sorted(total.by_cause.items())
            ),
        ),
        "",
        "## The usual ways, over the same worlds",
        "",
        *_ways(total),
        "",
        *_WAYS_NOTE,
        "",
        "## By scenario",
        "",
        *_scenarios(run),
        "",
        *_SCENARIOS_NOTE,
        "",
        "## Lost input",
        "",
        *_losses({**_told_losses(run), **silent.by_scenario}),
        "",
        "The silent ones: `driftwatch simulate --silent-losses "
        f"--seed {silent.seed} --key-hours {silent.asked_key_hours:.0f}`.",
        "",
        *_LOSSES_NOTE,
        "",
        "Not covered:",
        "",
        *(f"* {each}" for each in NOT_COVERED),
        "",
    ]
    return "\n".join(lines)


def _headline(total: Score) -> list[str]:
    own = total.own
    right = own.alarms - own.false_alarms
    known = total.true_drifts - total.declared_misses
    clean_p50, clean_p99 = percentile(own.latencies_s, 50), percentile(own.latencies_s, 99)
    return _table(
        ("", ""),
        (
            ("key-hours", f"{total.key_us / HOUR_US:,.0f}"),
            ("records and marks fed", f"{total.inputs:,}"),
            ("true drifts", f"{total.true_drifts:,}"),
            ("alarms", f"{own.alarms:,}"),
            ("false alarms", f"**{own.false_alarms:,}**"),
            ("undeclared misses", f"**{total.undeclared_misses:,}**"),
            ("precision", f"{own.precision:.6f} (95 %: at least {_low(right, own.alarms)})"),
            (
                "recall where it could be verified",
                f"{own.found / known:.6f} (95 %: at least {_low(own.found, known)})",
            ),
            ("recall, declared misses counted as misses", f"{own.recall:.6f}"),
            ("key-time declared unverifiable", f"{total.unverifiable_share:.3%}"),
            (
                "detection latency, simulated clock",
                f"median {clean_p50:.1f} s, 99 % {clean_p99:.1f} s (stalls of minutes included)",
            ),
            ("restarts between durable writes", f"{total.restarts:,}"),
        ),
    )


def _ways(total: Score) -> list[str]:
    return _table(
        (
            "way",
            "alarms",
            "false alarms",
            "misses",
            "precision (95 %)",
            "recall (95 %)",
            "latency p50",
            "latency p99",
        ),
        (_way(name, tally) for name, tally in ((OWN, total.own), *total.baselines.items())),
    )


def _way(name: str, tally: Tally) -> tuple[str, ...]:
    return (
        name,
        f"{tally.alarms:,}",
        f"{tally.false_alarms:,}",
        f"{tally.misses:,}",
        _bounds(tally.alarms - tally.false_alarms, tally.alarms),
        _bounds(tally.found, tally.found + tally.misses),
        f"{percentile(tally.latencies_s, 50) or 0.0:.0f} s",
        f"{percentile(tally.latencies_s, 99) or 0.0:.0f} s",
    )


def _scenarios(run: Run) -> list[str]:
    return _table(
        (
            "scenario",
            "key-hours",
            "true drifts",
            "false alarms",
            "undeclared",
            "declared",
            "unverifiable",
            "latency p50",
            "latency p99",
            "seeds",
        ),
        (_scenario(name, score) for name, score in run.by_scenario.items()),
    )


def _scenario(name: str, score: Score) -> tuple[str, ...]:
    return (
        name,
        f"{score.key_us / HOUR_US:,.0f}",
        f"{score.true_drifts:,}",
        str(score.own.false_alarms),
        str(score.undeclared_misses),
        str(score.declared_misses),
        f"{score.unverifiable_share:.3%}",
        f"{percentile(score.own.latencies_s, 50) or 0.0:.0f} s",
        f"{percentile(score.own.latencies_s, 99) or 0.0:.0f} s",
        f"{min(score.seeds)} … {max(score.seeds)}",
    )


def _told_losses(run: Run) -> dict[str, Score]:
    return {name: score for name, score in run.by_scenario.items() if score.noticed_us}


def _losses(losses: Mapping[str, Score]) -> list[str]:
    return _table(
        (
            "scenario",
            "true drifts",
            "alarms",
            "false alarms",
            "but for late ends",
            "precision",
            "undeclared misses",
            "declared misses",
            "unverifiable",
            "each record",
            "ratio (95 %)",
            "each notice",
            "ratio (95 %)",
            "key-hours",
        ),
        (
            (
                name,
                f"{score.true_drifts:,}",
                f"{score.own.alarms:,}",
                f"{score.own.false_alarms:,}",
                f"{score.own.false_alarms - score.own.late_ends:,}",
                _bounds(score.own.alarms - score.own.false_alarms, score.own.alarms),
                str(score.undeclared_misses),
                str(score.declared_misses),
                f"{score.unverifiable_share:.3%}",
                f"{score.omniscient_share:.3%}",
                _ratio(score.to_omniscient),
                f"{score.noticed_share:.3%}" if score.noticed_us else "",
                _ratio(score.to_noticed),
                f"{score.key_us / HOUR_US:,.0f}",
            )
            for name, score in losses.items()
        ),
    )


def picture(run: Run) -> str:
    """Precision and recall of every way, with their 95 % bounds, as SVG."""
    total = run.total
    bars = []
    for name, tally in ((OWN, total.own), *total.baselines.items()):
        right = tally.alarms - tally.false_alarms
        bars.append(
            Bar(
                name,
                (tally.precision, *wilson(right, tally.alarms)),
                (tally.recall, *wilson(tally.found, tally.found + tally.misses)),
                f"{tally.false_alarms:,} false alarms, {tally.misses:,} misses"
                + (", all declared" if tally is total.own and not total.undeclared_misses else ""),
            )
        )
    title = f"{total.true_drifts:,} true drifts in {total.key_us / HOUR_US:,.0f} key-hours"
    return draw_bars(title, bars)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(row)} |" for row in (head, align, *rows)]


def _ratio(ratio: tuple[float, float, float] | None) -> str:
    return "" if ratio is None else "{:.2f} ({:.2f} to {:.2f})".format(*ratio)


def _low(right: int, total: int) -> str:
    return f"{wilson(right, total)[0]:.6f}"


def _bounds(right: int, total: int) -> str:
    low, high = wilson(right, total)
    return f"{right / total if total else 1.0:.4f} ({low:.4f} to {high:.4f})"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
