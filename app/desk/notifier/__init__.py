"""Tells targets about drift: whom, what and when is decided here; keeping and carrying are ports."""
