update recon.notices set state = 'pending', next_at = clock_timestamp()
where target = $1 and rule = $2 and state = 'held' and created_at < $3;
