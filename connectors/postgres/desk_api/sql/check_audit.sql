WITH lines AS (
    SELECT
        a.number,
        a.before_hash = lag(a.hash, 1, sha256('')) OVER (ORDER BY a.number)
            AND a.number = lag(a.number, 1, 0::bigint) OVER (ORDER BY a.number) + 1
            AND a.hash = recon.audit_hash(a) AS is_right
    FROM recon.audit a
)
SELECT
    (SELECT count(*) FROM lines) AS lines,
    (SELECT min(number) FROM lines WHERE NOT is_right) AS broken_at,
    (SELECT encode(hash, 'hex') FROM recon.audit ORDER BY number DESC LIMIT 1) AS last_hash;
