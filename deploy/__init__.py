"""What operators install around the server."""
