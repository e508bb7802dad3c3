select
    payload ->> 'type' as type,
    severity,
    count(*) as count,
    min(at) as since,
    max(at) as until
from recon.notices
where target = $1 and rule = $2 and state = 'held' and created_at < $3
group by 1, 2;
