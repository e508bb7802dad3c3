select pg_try_advisory_lock(hashtextextended('driftwatch webhook ' || $1, 0));
