"""What the recorder has kept, as the admin API asks for it, and what only people write: their words, keys."""
