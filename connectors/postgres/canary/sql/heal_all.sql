DELETE FROM public.driftwatch_canary;
