"""`driftwatch worker`: judge the streams until told to stop."""

from __future__ import annotations

import typer


def register(commands: typer.Typer) -> None:
    """Add the command."""

    @commands.command()
    def worker() -> None:
        """Judge the streams: decode, detect, publish. Settings come from the environment."""
        import asyncio
        import os

        from app.clock import SystemClock
        from app.rules import load_rules
        from app.settings import load_settings
        from app.stream.worker import Reading, changelogs_of, run_worker
        from app.telemetry import configure_logging
        from app.wiring import build_codecs, compile_version, told_episodes
        from connectors.kafka.topics import ensure_topics

        configure_logging()
        settings = load_settings()
        rules = load_rules(settings.rules, os.environ)
        asyncio.run(ensure_topics(settings, changelogs_of(settings.app_id)))
        prefix = settings.topic_prefix
        codecs, compile_later = build_codecs(rules, prefix), compile_version(prefix)
        reading = Reading(rules, codecs, compile_later, told_episodes(settings))
        run_worker(settings, reading, SystemClock())
