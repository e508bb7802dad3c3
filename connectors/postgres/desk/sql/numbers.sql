-- $1: critical drift that has been open since before this time is persistent. $2: the histogram's upper bounds.
SELECT 'runs' AS name, rule, CASE state WHEN 'done' THEN 'completed' ELSE state END AS label, NULL AS sublabel,
       count(*)::double precision AS value
FROM recon.runs WHERE kind = 'sweep' AND state IN ('done', 'failed') GROUP BY rule, state
UNION ALL
SELECT 'checks', rule, check_type, CASE passed WHEN true THEN 'passed' WHEN false THEN 'failed' ELSE 'unverified' END,
       count(*)
FROM recon.checks GROUP BY rule, check_type, passed
UNION ALL
SELECT 'open', rule, severity, NULL, count(*) FROM recon.reconciliation_exceptions
WHERE resolved_at IS NULL GROUP BY rule, severity
UNION ALL
SELECT 'persistent', rule, NULL, NULL, count(*) FROM recon.reconciliation_exceptions
WHERE resolved_at IS NULL AND severity = 'critical' AND since < to_timestamp($1::bigint / 1000000.0) GROUP BY rule
UNION ALL
SELECT 'amount', e.rule, d.field, NULL, sum(abs(d.difference))
FROM recon.episodes e JOIN recon.differences d USING (episode)
WHERE e.state = 'open' AND d.difference IS NOT NULL GROUP BY e.rule, d.field
UNION ALL
SELECT 'amounts', e.rule, d.field, NULL, count(*)
FROM recon.episodes e JOIN recon.differences d USING (episode)
WHERE e.state = 'open' AND d.difference IS NOT NULL GROUP BY e.rule, d.field
UNION ALL
SELECT 'duration', rule, width_bucket(-s, $2::double precision[])::text, NULL, count(*)
FROM (
    SELECT rule, extract(epoch FROM finished_at - started_at)::double precision AS s FROM recon.runs
    WHERE kind = 'sweep' AND state IN ('done', 'failed') AND finished_at IS NOT NULL
) AS run GROUP BY rule, width_bucket(-s, $2::double precision[])
UNION ALL
SELECT 'seconds', rule, NULL, NULL, sum(extract(epoch FROM finished_at - started_at))
FROM recon.runs WHERE kind = 'sweep' AND state IN ('done', 'failed') AND finished_at IS NOT NULL GROUP BY rule
UNION ALL
SELECT 'letters', rule, kind, NULL, count(*) FROM recon.dead_letters
WHERE replayed_at IS NULL AND resolved_at IS NULL GROUP BY rule, kind
UNION ALL
SELECT name, rule, nullif(label, ''), nullif(sublabel, ''), value FROM recon.forgotten
