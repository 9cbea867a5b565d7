"""Sanctions and watch lists: matching of names, and what is done with a match."""
