UPDATE public.credit_lines SET updated_at = now() WHERE wallet_address = $1
