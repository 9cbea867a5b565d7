"""What a user would take instead of Tongbao, measured beside it on one machine: `python -m benchmarks.peers`.

- `plain_postgres`: a stored procedure, one commit a transfer, under pgbench.
- `redis_lua`: a script in Redis with an append-only file that is written before the answer, under redis-benchmark.
- `web_service`: FastAPI and SQLAlchemy in front of PostgreSQL, as most teams would begin, under wrk.
- `order_books`: order books and matching engines of PyPI, in process, over one seeded flow.

Every peer is driven by a load generator that is not ours, its books are audited afterwards, and its durability is read
back from it. Python packages of peers live in an environment of their own (`make bench-peers`), never in the project's.
"""
