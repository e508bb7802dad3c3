"""Speaks HTTP with others: webhooks."""
