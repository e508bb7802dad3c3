SELECT * FROM recon.api_keys ORDER BY created_at, id;
