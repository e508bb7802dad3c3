-- $1 scope, $2 rule, $3 kind, $4 since, $5 until, $6 $7 the place before, $8 size
SELECT * FROM recon.dead_letters
WHERE ($1::text[] IS NULL OR rule = ANY ($1))
    AND ($2::text IS NULL OR rule = $2)
    AND ($3::text IS NULL OR kind = $3)
    AND ($4::timestamptz IS NULL OR created_at >= $4)
    AND ($5::timestamptz IS NULL OR created_at < $5)
    AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::text))
ORDER BY created_at DESC, id DESC
LIMIT $8;
