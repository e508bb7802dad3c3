-- Incidents that were closed, and over before $1 (µs since 1970), at most $2.
WITH gone AS (
    DELETE FROM recon.incidents WHERE id IN (
        SELECT id FROM recon.incidents
        WHERE state = 'closed' AND until < to_timestamp($1::bigint / 1000000.0)
        LIMIT $2
    ) RETURNING id
)
SELECT count(*) FROM gone
