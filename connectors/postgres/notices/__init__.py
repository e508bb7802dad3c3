"""The notifier's outbox in schema recon: what targets are to be told, and what could not be told."""
