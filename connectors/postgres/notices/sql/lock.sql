select pg_advisory_xact_lock(hashtextextended('driftwatch notices', 0));
