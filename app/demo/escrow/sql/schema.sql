CREATE TABLE public.invoices (
    id          text PRIMARY KEY,
    status      text NOT NULL,
    sme_address text NOT NULL,
    issuer      text NOT NULL,
    deleted_at  timestamptz,
    updated_at  timestamptz
);
CREATE TABLE public.escrow_summaries (
    invoice_id   text PRIMARY KEY,
    total_funded numeric(27, 7) NOT NULL,
    updated_at   timestamptz
);
CREATE TABLE public.escrow_contracts (
    invoice_id  text PRIMARY KEY,
    contract_id text NOT NULL
);
ALTER TABLE public.invoices REPLICA IDENTITY FULL;
ALTER TABLE public.escrow_summaries REPLICA IDENTITY FULL;
