-- One transaction over the three tables of an invoice; what stays as it was is not written, but for the invoice.
WITH invoice AS (
    INSERT INTO public.invoices (id, status, sme_address, issuer, deleted_at, updated_at)
    VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN now() END, now())
    ON CONFLICT (id) DO UPDATE
    SET status = excluded.status, sme_address = excluded.sme_address, issuer = excluded.issuer,
        deleted_at = excluded.deleted_at, updated_at = now()
), without_summary AS (
    DELETE FROM public.escrow_summaries WHERE invoice_id = $1 AND $6::numeric IS NULL
), summary AS (
    INSERT INTO public.escrow_summaries AS held (invoice_id, total_funded, updated_at)
    SELECT $1, $6, now() WHERE $6::numeric IS NOT NULL
    ON CONFLICT (invoice_id) DO UPDATE SET total_funded = excluded.total_funded, updated_at = now()
    WHERE held.total_funded <> excluded.total_funded
), without_contract AS (
    DELETE FROM public.escrow_contracts WHERE invoice_id = $1 AND $7::text IS NULL
), mapped AS (
    INSERT INTO public.escrow_contracts AS held (invoice_id, contract_id)
    SELECT $1, $7 WHERE $7::text IS NOT NULL
    ON CONFLICT (invoice_id) DO UPDATE SET contract_id = excluded.contract_id
    WHERE held.contract_id <> excluded.contract_id
)
SELECT clock_timestamp()
