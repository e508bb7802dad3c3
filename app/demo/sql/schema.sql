CREATE TABLE public.credit_lines (
    id                bigint PRIMARY KEY,
    wallet_address    text NOT NULL,
    credit_limit      numeric(27, 7) NOT NULL,
    available_credit  numeric(27, 7) NOT NULL,
    interest_rate_bps integer NOT NULL,
    status            text NOT NULL,
    deleted_at        timestamptz,
    updated_at        timestamptz
);
CREATE UNIQUE INDEX credit_lines_wallet_address ON public.credit_lines (wallet_address) WHERE deleted_at IS NULL;
ALTER TABLE public.credit_lines REPLICA IDENTITY FULL;
