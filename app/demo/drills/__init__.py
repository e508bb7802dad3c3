"""Planted losses on the real stack, and what must be true after each."""
