SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||
       (SELECT timeline_id FROM pg_control_checkpoint())::text AS history,
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS position,
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at_us
