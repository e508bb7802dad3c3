INSERT INTO recon.differences (episode, field, left_value, right_value, difference, severity, since)
SELECT e.episode, d ->> 'field', d ->> 'left', d ->> 'right',
       CASE WHEN d ->> 'difference' ~ '^-?[0-9]+([.][0-9]+)?$' THEN (d ->> 'difference')::numeric END,
       d ->> 'severity', (d ->> 'since')::timestamptz
FROM recon.episodes e CROSS JOIN LATERAL jsonb_array_elements(e.differences) AS d
WHERE e.episode = ANY($1::text[])
ON CONFLICT (episode, field) DO NOTHING
