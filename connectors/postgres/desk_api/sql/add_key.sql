INSERT INTO recon.api_keys (id, name, hash, role, rules, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);
