update recon.notices set state = 'folded', told_in = $4, settled_at = clock_timestamp()
where target = $1 and rule = $2 and state = 'held' and created_at < $3;
