SELECT to_regclass('recon.alembic_version') IS NOT NULL;
