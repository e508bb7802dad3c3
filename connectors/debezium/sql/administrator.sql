-- Once, as an administrator of the database. wal_level needs a restart of PostgreSQL.
ALTER SYSTEM SET wal_level = 'logical';
ALTER SYSTEM SET max_slot_wal_keep_size = '20GB';   -- how much disk a connector that stays away may cost
CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'choose one';
GRANT USAGE ON SCHEMA {schemas} TO {role};
GRANT SELECT ON {grants} TO {role};
{identities}
CREATE PUBLICATION {publication} FOR TABLE {tables} WITH (publish = 'insert, update, delete, truncate');
SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');
