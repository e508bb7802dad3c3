CREATE TABLE IF NOT EXISTS public.driftwatch_canary (
    name text PRIMARY KEY,
    planted_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE public.driftwatch_canary REPLICA IDENTITY FULL;
