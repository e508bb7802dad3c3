"""What alembic runs: it writes the statements of a range of revisions; `upgrading` executes them."""

from __future__ import annotations

from alembic import context

from connectors.postgres.migrations.statements import sql

context.configure(
    dialect_name="postgresql",
    version_table_schema="recon",
    transactional_ddl=context.config.attributes["is_transactional"],
)
with context.begin_transaction():
    context.get_context().impl.static_output(sql("schema").rstrip())
    context.run_migrations()
