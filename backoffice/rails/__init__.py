"""Payment rails: adapters to the outside, their callbacks, and simulated rails to try them with."""
