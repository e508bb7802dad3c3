SELECT rule, run FROM recon.runs
WHERE kind = 'sweep' AND state IN ('done', 'failed') AND settled_at IS NULL AND finished_at IS NOT NULL
ORDER BY finished_at
LIMIT 100
