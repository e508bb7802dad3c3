-- Episodes that ended before $1 (µs since 1970), at most $2, with all that is kept of them. One that the recorder has in
-- hand is left for later.
WITH old AS (
    SELECT episode FROM recon.episodes
    WHERE state = 'resolved' AND resolved_at < to_timestamp($1::bigint / 1000000.0)
    ORDER BY resolved_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), differences AS (
    DELETE FROM recon.differences d USING old WHERE d.episode = old.episode
), transitions AS (
    DELETE FROM recon.transitions t USING old WHERE t.episode = old.episode
), work AS (
    DELETE FROM recon.exceptions_work w USING old WHERE w.episode = old.episode
), gone AS (
    DELETE FROM recon.episodes e USING old WHERE e.episode = old.episode RETURNING e.episode
)
SELECT count(*) FROM gone
