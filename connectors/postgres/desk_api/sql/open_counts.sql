SELECT rule, severity, status, count(*) AS count FROM recon.cases
WHERE state = 'open' AND ($1::text[] IS NULL OR rule = ANY ($1))
GROUP BY rule, severity, status;
