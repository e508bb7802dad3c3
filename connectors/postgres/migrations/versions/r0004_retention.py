"""What is old enough may be deleted, and stays counted."""

from __future__ import annotations

from connectors.postgres.migrations.statements import apply

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    apply("r0004_retention")
