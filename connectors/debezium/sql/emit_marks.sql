SELECT count(pg_logical_emit_message(true, k, json_build_object(
    'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'lsn', pg_current_wal_insert_lsn()::text,
    'epoch', (SELECT system_identifier FROM pg_control_system())::text || '/' ||
             (SELECT timeline_id FROM pg_control_checkpoint())::text || '/' || {generation})::text))
FROM unnest(ARRAY[{keys}]) AS k
