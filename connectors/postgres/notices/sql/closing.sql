select rule, min(created_at) + make_interval(secs => $2) as until
from recon.notices
where target = $1 and state = 'held'
group by rule
having min(created_at) + make_interval(secs => $2) <= clock_timestamp();
