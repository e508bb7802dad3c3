"""The revisions: each a module that names its predecessor and its files of raw SQL."""
