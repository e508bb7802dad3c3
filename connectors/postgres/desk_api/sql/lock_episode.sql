SELECT sequence, state FROM recon.episodes
WHERE episode = $2 AND ($1::text[] IS NULL OR rule = ANY ($1)) FOR UPDATE;
