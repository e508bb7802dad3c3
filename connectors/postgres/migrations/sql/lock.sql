SELECT pg_advisory_xact_lock(hashtextextended('driftwatch recon', 0));
