delete from recon.notices where settled_at < clock_timestamp() - interval '35 days';
