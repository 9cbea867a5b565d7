"""Customers' accounts: contracts under a version of a product, their numbers, states and holders."""
