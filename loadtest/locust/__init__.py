"""Tongbao under Locust: users that speak the TCP/JSON protocol. See docs/LOADTEST.md."""
