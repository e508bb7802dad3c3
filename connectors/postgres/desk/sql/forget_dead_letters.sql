-- Dead letters that somebody saw to before $1 (µs since 1970), at most $2; the others wait for somebody.
WITH gone AS (
    DELETE FROM recon.dead_letters WHERE id IN (
        SELECT id FROM recon.dead_letters
        WHERE greatest(replayed_at, resolved_at) < to_timestamp($1::bigint / 1000000.0)
        LIMIT $2
    ) RETURNING id
)
SELECT count(*) FROM gone
