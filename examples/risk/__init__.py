"""An institution's own pre-trade checks, in a server: `python -m examples.risk`."""
