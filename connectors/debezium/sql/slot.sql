SELECT slot_name, plugin, database, active, wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint AS behind_bytes,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS kept_bytes,
       confirmed_flush_lsn::text AS confirmed
FROM pg_replication_slots WHERE slot_name = $1
