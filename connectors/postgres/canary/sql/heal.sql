DELETE FROM public.driftwatch_canary WHERE name = $1;
