"""A cluster of three PostgreSQL under Patroni: README.md for operators, and the same on one machine for tests."""
