INSERT INTO recon.incidents AS held (id, rule, source, cause, since, until, state, detail)
SELECT i.id, i.rule, i.source, i.cause, i.since, i.until, i.state, i.detail
FROM jsonb_to_recordset($1::jsonb) AS i(
    id text, rule text, source text, cause text, since timestamptz, until timestamptz, state text, detail text
)
ORDER BY i.id
ON CONFLICT (id) DO UPDATE
SET until = excluded.until, state = excluded.state, detail = excluded.detail, updated_at = now()
WHERE held.state = 'open' OR excluded.state = 'closed'
