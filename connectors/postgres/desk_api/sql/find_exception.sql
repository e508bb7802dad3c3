SELECT * FROM recon.cases WHERE id = $2 AND ($1::text[] IS NULL OR rule = ANY ($1));
