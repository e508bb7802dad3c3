with told as (
    update recon.notices
    set state = 'delivered', attempts = attempts + 1, last_error = null, settled_at = clock_timestamp()
    where target = $1 and id = any ($2::text[]) and state = 'pending'
)
update recon.dead_letters set resolved_at = clock_timestamp()
where id = any ($3::text[]) and resolved_at is null;
