"""A consumer of events that keeps books of its own: `python -m examples.events`."""
