INSERT INTO public.driftwatch_canary (name) VALUES ($1);
