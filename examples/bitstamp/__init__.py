"""Five hours of a bitcoin exchange's orders through the order book, compared with its trades and its own books."""
