"""The hot paths under pytest-benchmark: `make bench-suite`, and `python -m benchmarks.compare` for two builds by turns.

Each case is a second or so of one piece of work on prepared data, and asserts what came of it. They import the engine,
the server's wire and the load's workload, and nothing else of the project, so that an older build can run them too.
"""
