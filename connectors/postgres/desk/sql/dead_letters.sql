-- What a person did about one is never undone by reading it again.
INSERT INTO recon.dead_letters (id, kind, rule, reference, reason, payload, attempts, created_at)
SELECT d.id, d.kind, d.rule, d.reference, d.reason, d.payload, d.attempts, d.created_at
FROM jsonb_to_recordset($1::jsonb) AS d(
    id text, kind text, rule text, reference text, reason text, payload jsonb, attempts integer,
    created_at timestamptz
)
ORDER BY d.id
ON CONFLICT (id) DO NOTHING
