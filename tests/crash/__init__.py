"""The long crash test: `python -m tests.crash`."""
