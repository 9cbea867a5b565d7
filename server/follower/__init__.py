"""What follows the log: an engine that applies every row of it, and what is made from that.

- follower    one engine behind the log, and the sinks that hear of each row
- process     `tongbao follow`: start, health, stop
- local       a leader on the same machine
"""
