insert into recon.notice_events (id, seen_at)
select id, clock_timestamp() from unnest($1::text[]) as arrived (id)
on conflict (id) do nothing
returning id;
