SELECT * FROM recon.runs WHERE run = $2 AND ($1::text[] IS NULL OR rule = ANY ($1)) ORDER BY rule LIMIT 1;
