UPDATE public.invoices SET updated_at = now() WHERE id = $1
