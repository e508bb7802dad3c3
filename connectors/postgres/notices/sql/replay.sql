with letters as (
    select id, split_part(reference, '/', 1) as target, split_part(reference, '/', 2) as notice
    from recon.dead_letters
    where kind = 'webhook' and resolved_at is null and ($1::text[] is null or id = any ($1::text[]))
),
again as (
    update recon.notices n
    set state = 'pending', attempts = 0, next_at = clock_timestamp(), settled_at = null
    from letters l
    where n.id = l.notice and n.target = l.target and n.state = 'dead'
    returning l.id
)
update recon.dead_letters d set replayed_at = clock_timestamp()
from again a
where d.id = a.id
returning d.id;
