"""Schema recon: what the desk keeps, read and written."""
