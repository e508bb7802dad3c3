-- The episodes ($1, text[]) as all of their transitions say, whatever the order in which these came.
INSERT INTO recon.episodes AS held
    (episode, rule, rule_version, key, severity, state, since, opened_at, resolved_at, cause, flaps, linked, sequence,
     differences, trace, confirmed, updated_at)
SELECT last.episode, last.rule, last.rule_version, last.key, last.severity,
       CASE last.transition WHEN 'resolved' THEN 'resolved' ELSE 'open' END,
       (last.value ->> 'since')::timestamptz, (first.value ->> 'since')::timestamptz,
       (last.value ->> 'until')::timestamptz, last.value ->> 'cause', (last.value ->> 'flaps')::integer,
       last.value ->> 'linked', last.sequence, coalesce(shown.differences, '[]'), last.value -> 'trace',
       last.confirmed, last.at
FROM unnest($1::text[]) AS touched(episode)
CROSS JOIN LATERAL (
    SELECT t.* FROM recon.transitions t WHERE t.episode = touched.episode ORDER BY t.sequence DESC LIMIT 1
) last
CROSS JOIN LATERAL (
    SELECT t.value FROM recon.transitions t WHERE t.episode = touched.episode ORDER BY t.sequence LIMIT 1
) first
LEFT JOIN LATERAL (
    SELECT t.value -> 'differences' AS differences FROM recon.transitions t
    WHERE t.episode = touched.episode AND t.transition <> 'resolved' ORDER BY t.sequence DESC LIMIT 1
) shown ON true
ON CONFLICT (episode) DO UPDATE
SET rule_version = excluded.rule_version, severity = excluded.severity, state = excluded.state,
    since = excluded.since, opened_at = least(held.opened_at, excluded.opened_at),
    resolved_at = excluded.resolved_at, cause = excluded.cause, flaps = excluded.flaps, linked = excluded.linked,
    sequence = excluded.sequence, differences = excluded.differences, trace = excluded.trace,
    confirmed = excluded.confirmed, updated_at = excluded.updated_at
WHERE held.sequence <= excluded.sequence
