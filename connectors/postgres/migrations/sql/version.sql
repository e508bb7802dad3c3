SELECT version_num FROM recon.alembic_version;
