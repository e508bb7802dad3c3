ALTER TABLE credit_lines RENAME COLUMN state TO status
