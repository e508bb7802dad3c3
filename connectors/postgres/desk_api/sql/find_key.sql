SELECT * FROM recon.api_keys WHERE id = $1;
