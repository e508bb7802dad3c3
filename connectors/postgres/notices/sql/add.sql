insert into recon.notices (
    id, target, kind, rule, lane, episode, severity, at, payload, state, next_at, created_at
)
select
    n.id, n.target, n.kind, n.rule, n.lane, n.episode, n.severity, n.at, n.payload::json,
    case when n.is_held then 'held' else 'pending' end, t.now, t.now
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::text[],
    $10::boolean[]
) with ordinality as n (id, target, kind, rule, lane, episode, severity, at, payload, is_held, number)
cross join (select clock_timestamp() as now) as t
order by n.number
on conflict (id, target) do nothing;
