SELECT lsn::text || '.' || extract(epoch FROM clock_timestamp())::bigint::text AS generation
FROM pg_create_logical_replication_slot($1, 'pgoutput')
