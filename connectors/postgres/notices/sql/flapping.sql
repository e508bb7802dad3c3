select f.rule, f.lane, f.flaps_us, f.began, f.told, f.quiet, f.last
from recon.notice_flapping f
join (select distinct rule, lane from unnest($1::text[], $2::text[]) as asked (rule, lane)) a
    on a.rule = f.rule and a.lane = f.lane;
