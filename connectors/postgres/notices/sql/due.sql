-- Scalar subqueries on purpose: the planner turns EXISTS into a join, and joins everything with everything where it has
-- no statistics yet, as after a burst.
select n.id, n.payload, n.attempts
from recon.notices n
where n.target = $1
    and n.state = 'pending'
    and n.attempts >= 0
    and n.next_at <= clock_timestamp()
    -- in order per key
    and (n.lane is null or n.place = (
        select min(e.place) from recon.notices e
        where e.target = n.target and e.rule = n.rule and e.lane = n.lane and e.state = 'pending'
    ))
    -- behind what concerns the whole rule, which is behind everything of its rule
    and n.place <= coalesce((
        select min(e.place) from recon.notices e
        where e.target = n.target and e.rule = n.rule and e.lane is null and e.state = 'pending'
    ), n.place)
    and (n.lane is not null or not exists (
        select from recon.notices e
        where e.target = n.target and e.rule = n.rule and e.place < n.place and e.state = 'pending'
    ))
order by n.place
limit $2;
