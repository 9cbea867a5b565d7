"""Backups of a log: made, checked, and restored, up to the newest row or to a point in time."""
