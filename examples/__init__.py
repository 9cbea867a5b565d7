"""Examples that run against a server."""
