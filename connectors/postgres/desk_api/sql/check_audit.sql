-- The first line follows nothing, or what was forgotten: the last line that says so names its number and its hash.
WITH start AS (
    SELECT
        coalesce(max((f.detail ->> 'through')::bigint), 0) AS number,
        coalesce(decode(max(f.detail ->> 'hash'), 'hex'), sha256('')) AS hash
    FROM (SELECT detail FROM recon.audit WHERE what = 'forget' ORDER BY number DESC LIMIT 1) AS f
), lines AS (
    SELECT
        a.number,
        a.before_hash = lag(a.hash, 1, start.hash) OVER (ORDER BY a.number)
            AND a.number = lag(a.number, 1, start.number) OVER (ORDER BY a.number) + 1
            AND a.hash = recon.audit_hash(a) AS is_right
    FROM recon.audit a CROSS JOIN start
)
SELECT
    (SELECT count(*) FROM lines) AS lines,
    (SELECT number FROM start) AS forgotten,
    (SELECT min(number) FROM lines WHERE NOT is_right) AS broken_at,
    (SELECT encode(hash, 'hex') FROM recon.audit ORDER BY number DESC LIMIT 1) AS last_hash;
