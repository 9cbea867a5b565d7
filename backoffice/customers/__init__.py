"""Persons and enterprises: who they are, what may be done with them, and what is known of them."""
