select id, payload
from recon.notices
where target = $1 and rule = $2 and state = 'held' and created_at < $3
order by place
limit $4;
