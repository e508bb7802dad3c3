-- The checks of runs that are over ($1, $2: rules and runs), once every mismatch that was told before is recorded.
-- $3: the checks of each rule. What was not read as a whole is verified by nobody: neither passed nor failed.
WITH due AS (
    SELECT r.rule, r.run, r.finished_at, r.state = 'done' AND r.why IS NULL AS is_done,
           r.unverifiable = 0 AND r.errors = 0 AND (
               r.state = 'done' AND r.why IS NULL
               OR r.state = 'failed' AND r.drifting > 0 AND r.value -> 'progress' ->> 'phase' = 'judging'
           ) AS is_verified
    FROM recon.runs r JOIN unnest($1::text[], $2::text[]) AS wanted(rule, run) USING (rule, run)
    WHERE r.settled_at IS NULL
), found AS (
    SELECT due.rule, due.run, d ->> 'field' AS check_type, count(*) AS mismatches
    FROM due
    CROSS JOIN LATERAL recon.open_at(due.rule, due.finished_at) AS o
    CROSS JOIN LATERAL jsonb_array_elements(o.differences) AS d
    GROUP BY due.rule, due.run, d ->> 'field'
), wanted AS (
    SELECT due.rule, due.run, t.check_type
    FROM due CROSS JOIN LATERAL jsonb_array_elements_text($3::jsonb -> due.rule) AS t(check_type)
    UNION
    SELECT rule, run, check_type FROM found
), written AS (
    INSERT INTO recon.checks (rule, run, check_type, passed, mismatches, created_at)
    SELECT rule, run, check_type,
           CASE WHEN coalesce(found.mismatches, 0) > 0 THEN false WHEN due.is_verified THEN true END,
           coalesce(found.mismatches, 0), due.finished_at
    FROM wanted JOIN due USING (rule, run) LEFT JOIN found USING (rule, run, check_type)
    ON CONFLICT (rule, run, check_type) DO UPDATE
    SET passed = excluded.passed, mismatches = excluded.mismatches, created_at = excluded.created_at
), made_good AS (
    -- what an earlier sweep of the rule could not do, this one has done
    UPDATE recon.dead_letters l SET resolved_at = due.finished_at
    FROM due
    WHERE l.kind = 'run' AND l.rule = due.rule AND l.resolved_at IS NULL AND l.created_at < due.finished_at AND due.is_done
)
UPDATE recon.runs r SET settled_at = now() FROM due WHERE (r.rule, r.run) = (due.rule, due.run)
