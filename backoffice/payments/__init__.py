"""Payments: how money comes in, goes out and moves, and what is checked, charged and reconciled on the way."""
