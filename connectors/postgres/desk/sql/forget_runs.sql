-- Runs that ended before $1 (µs since 1970), at most $2, and their checks; never the newest of a rule. What the counters
-- said of them is kept. $3: the histogram's upper bounds, as in `numbers`.
WITH old AS (
    SELECT r.rule, r.run FROM recon.runs r
    WHERE r.finished_at < to_timestamp($1::bigint / 1000000.0)
      AND (r.settled_at IS NOT NULL OR r.kind = 'seed' OR r.state = 'merged')
      AND EXISTS (
          SELECT FROM recon.runs n
          WHERE n.rule = r.rule AND n.kind = r.kind AND n.state IN ('done', 'failed') AND n.started_at > r.started_at
      )
    ORDER BY r.finished_at
    LIMIT $2
), checks AS (
    DELETE FROM recon.checks c USING old WHERE (c.rule, c.run) = (old.rule, old.run)
    RETURNING c.rule, c.check_type,
              CASE c.passed WHEN true THEN 'passed' WHEN false THEN 'failed' ELSE 'unverified' END AS verdict
), gone AS (
    DELETE FROM recon.runs r USING old WHERE (r.rule, r.run) = (old.rule, old.run)
    RETURNING r.rule, r.state, r.kind = 'sweep' AND r.state IN ('done', 'failed') AS is_counted,
              extract(epoch FROM r.finished_at - r.started_at)::double precision AS s
), counted AS (
    INSERT INTO recon.forgotten AS kept (name, rule, label, sublabel, value)
    SELECT 'runs', rule, CASE state WHEN 'done' THEN 'completed' ELSE state END, '', count(*)
    FROM gone WHERE is_counted GROUP BY rule, state
    UNION ALL
    SELECT 'checks', rule, check_type, verdict, count(*) FROM checks GROUP BY rule, check_type, verdict
    UNION ALL
    SELECT 'duration', rule, width_bucket(-s, $3::double precision[])::text, '', count(*)
    FROM gone WHERE is_counted GROUP BY rule, width_bucket(-s, $3::double precision[])
    UNION ALL
    SELECT 'seconds', rule, '', '', sum(s) FROM gone WHERE is_counted GROUP BY rule
    ON CONFLICT (name, rule, label, sublabel) DO UPDATE SET value = kept.value + excluded.value
)
SELECT count(*) FROM gone
