ALTER TABLE credit_lines RENAME COLUMN status TO state
