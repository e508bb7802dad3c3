select target, count(*) as count
from recon.notices
where state in ('pending', 'held') and target <> all ($1::text[])
group by target
order by target;
