"""A day of NASDAQ's orders (LOBSTER samples) through the order book, compared with the data's own book after every event."""
