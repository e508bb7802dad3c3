-- The names that people's SQL knows. `create or replace` may add columns at the end only.
CREATE FUNCTION recon.open_at(of_rule text, moment timestamptz)
    RETURNS TABLE (episode text, key text, severity text, since timestamptz, differences jsonb)
    LANGUAGE sql STABLE
AS $$
    SELECT last.episode, last.key, last.severity, (last.value ->> 'since')::timestamptz, last.value -> 'differences'
    FROM recon.episodes e
    CROSS JOIN LATERAL (
        SELECT t.episode, t.key, t.severity, t.transition, t.value
        FROM recon.transitions t
        WHERE t.episode = e.episode AND t.at <= moment
        ORDER BY t.sequence DESC
        LIMIT 1
    ) last
    WHERE e.rule = of_rule
      AND e.opened_at <= moment
      AND (e.state = 'open' OR e.resolved_at > moment)
      AND last.transition <> 'resolved'
$$;
COMMENT ON FUNCTION recon.open_at IS 'The episodes of a rule that were open at a moment, as they were then';

CREATE VIEW recon.reconciliation_runs AS
SELECT
    r.run AS id,
    r.rule,
    r.checked AS total,
    r.checked - r.drifting - r.unverifiable - r.errors AS matches,
    r.drifting AS mismatches,
    r.errors + r.unverifiable AS errors,
    coalesce(
        (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.key) FROM recon.open_at(r.rule, r.finished_at) o), '[]'
    ) AS results,
    r.finished_at AS reconciled_at,
    CASE r.state WHEN 'done' THEN 'completed' ELSE 'failed' END AS status,
    r.started_at
FROM recon.runs r
WHERE r.kind = 'sweep' AND r.state IN ('done', 'failed');

CREATE VIEW recon.reconciliation_reports AS
SELECT
    r.run AS id,
    r.rule,
    coalesce(r.cause, r.kind) AS run_type,
    CASE r.state WHEN 'done' THEN 'completed' WHEN 'waiting' THEN 'pending' WHEN 'paused' THEN 'running' ELSE r.state END
        AS status,
    r.started_at,
    r.finished_at AS completed_at,
    extract(epoch FROM r.finished_at - r.started_at)::double precision AS duration_seconds,
    (SELECT count(*) FROM recon.checks c WHERE (c.rule, c.run) = (r.rule, r.run)) AS checks_total,
    (SELECT count(*) FROM recon.checks c WHERE (c.rule, c.run) = (r.rule, r.run) AND c.passed) AS checks_passed,
    (SELECT count(*) FROM recon.checks c WHERE (c.rule, c.run) = (r.rule, r.run) AND NOT c.passed) AS checks_failed,
    r.checked,
    r.drifting AS exceptions,
    r.errors + r.unverifiable AS errors,
    r.why AS error_message,
    r.attempts,
    coalesce(r.requested_at, r.started_at) AS created_at
FROM recon.runs r
WHERE r.kind = 'sweep' AND r.state <> 'merged';

CREATE VIEW recon.reconciliation_checks AS
SELECT
    c.rule || '/' || c.run || '/' || c.check_type AS id,
    c.run AS report_id,
    c.rule,
    c.check_type,
    c.passed,
    c.mismatches AS exceptions,
    c.created_at
FROM recon.checks c;

CREATE VIEW recon.reconciliation_exceptions AS
SELECT
    e.episode AS id,
    e.rule,
    e.key,
    (SELECT string_agg(d ->> 'field', ',' ORDER BY n) FROM jsonb_array_elements(e.differences) WITH ORDINALITY AS f (d, n))
        AS check_type,
    e.severity,
    CASE e.state WHEN 'open' THEN 'open' ELSE 'resolved' END AS status,
    e.resolved_at,
    CASE e.state WHEN 'resolved' THEN 'evidence' END AS resolved_by,
    e.cause AS notes,
    e.opened_at AS created_at,
    e.since,
    e.flaps,
    e.linked,
    e.differences,
    e.updated_at
FROM recon.episodes e;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'reconciliation_runs', 'reconciliation_reports', 'reconciliation_checks', 'reconciliation_exceptions'
    ] LOOP
        IF to_regclass('public.' || name) IS NOT NULL THEN
            RAISE NOTICE 'public.% is somebody else''s and stays as it is', name;
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE format('create view public.%I as select * from recon.%I', name, name);
        EXCEPTION WHEN insufficient_privilege OR invalid_schema_name THEN
            RAISE NOTICE 'public.% cannot be created: read recon.% instead', name, name;
        END;
    END LOOP;
END
$$;
