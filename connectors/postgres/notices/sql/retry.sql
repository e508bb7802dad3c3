update recon.notices n
set
    attempts = n.attempts + 1,
    last_error = v.error,
    next_at = clock_timestamp() + make_interval(secs => v.again_in_s)
from unnest($2::text[], $3::float8[], $4::text[]) as v (id, again_in_s, error)
where n.target = $1 and n.id = v.id and n.state = 'pending';
