select rule, lane, flaps_us, began, told, quiet, last
from recon.notice_flapping
where calm_at <= clock_timestamp()
order by calm_at
limit 500;
