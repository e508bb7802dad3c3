"""The picture of a verdict: two timelines, the window, what is unknown, what should be told and what was."""
