SELECT recon.forget_audit(to_timestamp($1::bigint / 1000000.0), $2::integer)
