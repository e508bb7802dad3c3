SELECT recon.append_audit($1, $2, $3, $4, $5);
