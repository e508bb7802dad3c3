"""The demo's escrow system: invoices and what was funded of them, against one contract for each."""
