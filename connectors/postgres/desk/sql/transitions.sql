INSERT INTO recon.transitions
    (ce_id, episode, sequence, transition, rule, rule_version, key, severity, at, confirmed, value, headers)
SELECT t.ce_id, t.episode, t.sequence, t.transition, t.rule, t.rule_version, t.key, t.severity, t.at, t.confirmed,
       t.value, t.headers
FROM jsonb_to_recordset($1::jsonb) AS t(
    ce_id text, episode text, sequence integer, transition text, rule text, rule_version integer, key text,
    severity text, at timestamptz, confirmed text, value jsonb, headers jsonb
)
ON CONFLICT (ce_id) DO NOTHING
