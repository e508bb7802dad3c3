SELECT 1 FROM recon.api_keys LIMIT 1;
