DELETE FROM public.credit_lines WHERE wallet_address = $1 RETURNING clock_timestamp()
