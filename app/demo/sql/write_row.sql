INSERT INTO public.credit_lines
    (id, wallet_address, credit_limit, available_credit, interest_rate_bps, status, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, now())
ON CONFLICT (id) DO UPDATE
SET credit_limit = excluded.credit_limit, available_credit = excluded.available_credit,
    interest_rate_bps = excluded.interest_rate_bps, status = excluded.status, updated_at = now()
RETURNING clock_timestamp()
