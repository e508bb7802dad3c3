-- What is over stays over: records may be read again from an earlier one.
INSERT INTO recon.runs AS held
    (rule, run, kind, state, requested_at, started_at, finished_at, checked, in_sync, drifting, in_flight, exempt,
     unverifiable, repaired, errors, attempts, cause, why, value)
SELECT r.rule, r.run, r.kind, r.state, r.requested_at, r.started_at, r.finished_at, r.checked, r.in_sync, r.drifting,
       r.in_flight, r.exempt, r.unverifiable, r.repaired, r.errors, r.attempts, r.cause, r.why, r.value
FROM jsonb_to_recordset($1::jsonb) AS r(
    rule text, run text, kind text, state text, requested_at timestamptz, started_at timestamptz,
    finished_at timestamptz, checked bigint, in_sync bigint, drifting bigint, in_flight bigint, exempt bigint,
    unverifiable bigint, repaired bigint, errors bigint, attempts integer, cause text, why text, value jsonb
)
ORDER BY r.rule, r.run
ON CONFLICT (rule, run) DO UPDATE
SET kind = excluded.kind, state = excluded.state, requested_at = excluded.requested_at,
    started_at = excluded.started_at, finished_at = excluded.finished_at, checked = excluded.checked,
    in_sync = excluded.in_sync, drifting = excluded.drifting, in_flight = excluded.in_flight,
    exempt = excluded.exempt, unverifiable = excluded.unverifiable, repaired = excluded.repaired,
    errors = excluded.errors, attempts = excluded.attempts, cause = excluded.cause, why = excluded.why,
    value = excluded.value, updated_at = now(),
    settled_at = CASE WHEN held.finished_at = excluded.finished_at THEN held.settled_at END
WHERE held.finished_at IS NULL OR excluded.finished_at IS NOT NULL
