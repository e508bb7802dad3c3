"""What people do about drift: their resolutions, the audit log, and the keys of the API."""

from __future__ import annotations

from connectors.postgres.migrations.statements import apply

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    apply("r0002_work", "r0002_audit", "r0002_views")
