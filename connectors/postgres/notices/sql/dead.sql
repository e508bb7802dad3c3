with gone as (
    update recon.notices n
    set state = 'dead', attempts = n.attempts + 1, last_error = v.error, settled_at = clock_timestamp()
    from unnest($2::text[], $3::text[], $4::text[]) as v (id, letter, error)
    where n.target = $1 and n.id = v.id and n.state = 'pending'
    returning v.letter, n.id, n.target, n.rule, n.payload, n.attempts, n.last_error
)
insert into recon.dead_letters (id, kind, rule, reference, reason, payload, attempts, created_at)
select letter, 'webhook', rule, target || '/' || id, last_error, payload::text::jsonb, attempts, clock_timestamp()
from gone
on conflict (id) do update set
    reason = excluded.reason,
    attempts = excluded.attempts,
    created_at = excluded.created_at,
    replayed_at = null,
    resolved_at = null;
