SELECT rule, partition, verified_through, state, cause, updated_at FROM recon.status
WHERE $1::text[] IS NULL OR rule = ANY ($1)
ORDER BY rule, partition;
