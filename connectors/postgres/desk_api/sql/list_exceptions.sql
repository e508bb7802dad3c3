-- $1 scope, $2 rule, $3 key, $4 severity, $5 status, $6 since, $7 until, $8 $9 the place before, $10 size
SELECT * FROM recon.cases
WHERE ($1::text[] IS NULL OR rule = ANY ($1))
    AND ($2::text IS NULL OR rule = $2)
    AND ($3::text IS NULL OR key = $3)
    AND ($4::text IS NULL OR severity = $4)
    AND ($5::text IS NULL OR status = $5)
    AND (coalesce($5, 'resolved') = 'resolved' OR state = 'open') -- the index of what is open knows no status
    AND ($6::timestamptz IS NULL OR created_at >= $6)
    AND ($7::timestamptz IS NULL OR created_at < $7)
    AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9::text))
ORDER BY created_at DESC, id DESC
LIMIT $10;
