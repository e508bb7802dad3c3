SELECT * FROM recon.cases WHERE rule = $1 AND key = $2 ORDER BY created_at DESC, id DESC LIMIT $3;
