"""A day of NASDAQ's orders (LOBSTER samples) through the order book, compared with the data at every event."""
