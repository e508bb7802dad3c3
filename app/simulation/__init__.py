"""Seeded two-sided worlds that know the truth, and what the detector and the usual ways make of them."""
