"""Benchmarks: each prints its figures and gives them as JSON; `make bench` runs them all. See docs/BENCHMARKS.md."""
