INSERT INTO recon.status AS held
    (rule, partition, verified_through, state, cause, watermark_left, watermark_right, clock_offset, open, keys,
     unverifiable_keys, updated_at)
SELECT s.rule, s.partition, s.verified_through, s.state, s.cause, s.watermark_left, s.watermark_right, s.clock_offset,
       s.open, s.keys, s.unverifiable_keys, s.updated_at
FROM jsonb_to_recordset($1::jsonb) AS s(
    rule text, partition integer, verified_through timestamptz, state text, cause text, watermark_left timestamptz,
    watermark_right timestamptz, clock_offset double precision, open jsonb, keys bigint, unverifiable_keys bigint,
    updated_at timestamptz
)
ORDER BY s.rule, s.partition
ON CONFLICT (rule, partition) DO UPDATE
SET verified_through = excluded.verified_through, state = excluded.state, cause = excluded.cause,
    watermark_left = excluded.watermark_left, watermark_right = excluded.watermark_right,
    clock_offset = excluded.clock_offset, open = excluded.open, keys = excluded.keys,
    unverifiable_keys = excluded.unverifiable_keys, updated_at = excluded.updated_at
WHERE held.updated_at <= excluded.updated_at
