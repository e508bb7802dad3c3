select id, reference, rule, reason, attempts, created_at, replayed_at
from recon.dead_letters
where kind = 'webhook' and resolved_at is null
order by created_at, id
limit $1;
