delete from recon.notice_events where seen_at < clock_timestamp() - interval '35 days';
