"""Composes the notifier: the topic, the outbox in PostgreSQL, and a channel for each target."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import assert_never

from app.clock import Clock
from app.desk.notifier.deciding import Decider
from app.desk.notifier.flapping import Limits
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.notifier.ports import Channel
from app.desk.notifier.service import Notifier, Parts
from app.desk.notifier.signed import SignedChannel
from app.desk.notifier.targets import Apprise, Target, Webhook, load_targets
from app.desk.notifier.telling import Line, Teller
from app.errors import Fatal
from app.rules import LoadedRule, load_rules
from app.settings import Settings
from app.telemetry import get_logger
from connectors.http.apprised import AppriseChannel
from connectors.http.webhook import WebhookPoster
from connectors.kafka.transitions import TransitionFeed
from connectors.postgres.notices.letters import WebhookLetters
from connectors.postgres.notices.outbox import NoticeOutbox
from connectors.postgres.notices.queue import NoticeQueue

log = get_logger(__name__)


def read_targets(
    settings: Settings, environ: Mapping[str, str]
) -> tuple[tuple[Target, ...], tuple[LoadedRule, ...]]:
    """The targets of `DRIFTWATCH_WEBHOOKS`, and the rules; raises `Fatal` with every problem."""
    rules = load_rules(settings.rules, environ, lenient_environment=True)
    path = settings.webhooks
    if path is None:
        raise Fatal(
            "loading",
            "webhook targets",
            "DRIFTWATCH_WEBHOOKS is not set",
            "name a file of targets: connectors/http/README.md shows one",
        )
    return load_targets(Path(path), environ, [each.rule.id for each in rules]), rules


@asynccontextmanager
async def open_channels(targets: Sequence[Target], clock: Clock) -> AsyncIterator[Mapping[str, Channel]]:
    """The way to each target, by its name; connections are closed afterwards."""
    async with AsyncExitStack() as stack:
        yield {target.name: _channel(target, clock, stack) for target in targets}


def _channel(target: Target, clock: Clock, stack: AsyncExitStack) -> Channel:
    endpoint = target.endpoint
    if isinstance(endpoint, Webhook):
        poster = WebhookPoster(endpoint.url, endpoint.headers, endpoint.timeout_s, clock)
        stack.push_async_callback(poster.close)
        return SignedChannel(endpoint.secret, poster, clock)
    if isinstance(endpoint, Apprise):
        return AppriseChannel(target.name, endpoint.url)
    assert_never(endpoint)


@asynccontextmanager
async def open_notifier(
    settings: Settings,
    told: tuple[Sequence[Target], Sequence[LoadedRule]],
    clock: Clock,
    metrics: NotifierMetrics,
    *,
    from_beginning: bool = False,
) -> AsyncIterator[Notifier]:
    """The notifier of these targets and rules, with its connections; they are closed afterwards."""
    targets, rules = told
    limits = {each.rule.id: Limits(each.settings.flaps, each.settings.flapping_within_us) for each in rules}
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(open_channels(targets, clock))
        outbox = NoticeOutbox(settings.desk_dsn)
        stack.push_async_callback(outbox.close)
        for name, count in (await outbox.count_strangers([each.name for each in targets])).items():
            log.warning(
                "Notices wait for a target that is not in the file any more",
                event_name="webhook_stranger",
                target=name,
                notices=count,
            )
        feed = TransitionFeed(settings, from_beginning=from_beginning)
        stack.push_async_callback(feed.close)
        await feed.open()
        metrics.count_refused(lambda: feed.refused)
        uniform = secrets.SystemRandom().uniform
        tellers = [
            Teller(
                Line(each, NoticeQueue(settings.desk_dsn, each.name), channels[each.name]),
                clock,
                metrics,
                uniform,
            )
            for each in targets
        ]
        yield Notifier(Parts(feed, outbox, Decider(targets, limits), tellers), clock, metrics)


@asynccontextmanager
async def open_letters(settings: Settings) -> AsyncIterator[WebhookLetters]:
    """The dead letters of webhooks, for the command line and for the API (`resend`)."""
    letters = WebhookLetters(settings.desk_dsn)
    try:
        yield letters
    finally:
        await letters.close()
