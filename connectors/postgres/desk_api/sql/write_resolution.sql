INSERT INTO recon.exceptions_work (episode, sequence, resolved_by, notes, actor, resolved_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (episode) DO UPDATE SET
    sequence = excluded.sequence,
    resolved_by = excluded.resolved_by,
    notes = excluded.notes,
    actor = excluded.actor,
    resolved_at = excluded.resolved_at
WHERE (exceptions_work.sequence, exceptions_work.resolved_by, exceptions_work.notes, exceptions_work.actor)
    IS DISTINCT FROM (excluded.sequence, excluded.resolved_by, excluded.notes, excluded.actor)
RETURNING true;
