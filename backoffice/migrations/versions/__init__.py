"""One a file."""
