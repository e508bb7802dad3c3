SELECT * FROM recon.dead_letters WHERE id = ANY ($2) AND ($1::text[] IS NULL OR rule = ANY ($1));
