"""Routes, a module for each area."""
