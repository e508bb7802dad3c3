"""What the recorder keeps, and the views that people's SQL knows."""

from __future__ import annotations

from connectors.postgres.migrations.statements import apply

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    apply("r0001_records", "r0001_views")
