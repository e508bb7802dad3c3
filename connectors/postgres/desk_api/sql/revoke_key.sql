UPDATE recon.api_keys SET revoked_at = $2 WHERE (name = $1 OR id = $1) AND revoked_at IS NULL RETURNING id;
