select
    (select count(*) from recon.notices where target = $1 and state = 'pending')
    + (select count(*) from recon.notices where target = $1 and state = 'held') as waiting,
    coalesce(extract(epoch from clock_timestamp() - least(
        (
            select created_at from recon.notices
            where target = $1 and state = 'pending' and attempts >= 0
            order by place
            limit 1
        ),
        (select min(created_at) from recon.notices where target = $1 and state = 'held')
    )), 0)::float8 as oldest_s,
    (select count(*) from recon.notices where target = $1 and state = 'dead') as dead;
