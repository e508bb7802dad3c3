DELETE FROM public.invoices WHERE id = $1 RETURNING clock_timestamp()
