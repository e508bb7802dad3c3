"""The tables of schema `recon`, revision by revision; `upgrade` and `print_sql` apply and show them."""
