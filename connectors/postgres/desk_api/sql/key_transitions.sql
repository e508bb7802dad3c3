SELECT * FROM (
    SELECT ce_id AS id, episode, sequence, transition, severity, at, confirmed, value
    FROM recon.transitions
    WHERE rule = $1 AND key = $2
    ORDER BY at DESC, episode DESC, sequence DESC
    LIMIT $3
) latest
ORDER BY at, episode, sequence;
