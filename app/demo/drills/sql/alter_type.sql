ALTER TABLE credit_lines
    ALTER COLUMN credit_limit TYPE numeric(27, 2) USING round(credit_limit, 2),
    ALTER COLUMN available_credit TYPE numeric(27, 2) USING round(available_credit, 2);
