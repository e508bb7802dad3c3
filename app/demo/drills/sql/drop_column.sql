ALTER TABLE credit_lines DROP COLUMN interest_rate_bps
