"""What targets are to be told, and what they were told."""

from __future__ import annotations

from connectors.postgres.migrations.statements import apply

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    apply("r0003_notices")
