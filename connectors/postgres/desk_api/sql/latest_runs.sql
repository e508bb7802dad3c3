SELECT DISTINCT ON (rule, state IN ('done', 'failed')) * FROM recon.runs
WHERE kind = 'sweep' AND state <> 'merged' AND ($1::text[] IS NULL OR rule = ANY ($1))
ORDER BY rule, state IN ('done', 'failed'), started_at DESC, run DESC;
