ALTER TABLE credit_lines ADD COLUMN interest_rate_bps integer
