insert into recon.notice_flapping (rule, lane, flaps_us, began, told, quiet, last, calm_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (rule, lane) do update set
    flaps_us = excluded.flaps_us,
    began = excluded.began,
    told = excluded.told,
    quiet = excluded.quiet,
    last = excluded.last,
    calm_at = excluded.calm_at;
