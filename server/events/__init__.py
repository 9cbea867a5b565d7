"""The log as events: executions, trades, transfers, balances and alerts, for whoever wants to be told.

- maker      the events of a row, from the engine right after it
- alerts     those that people want to hear of: limits, kill switches, sessions, what expired
- lines      records as JSON
- backlog    rows that wait for one publisher, and those that are made again from the log
- publisher  one target: position, order, what to do when it is away
- streams    Redis Streams
- hooks      which endpoints there are, and what they are told
- webhooks   one endpoint
- parquet    files by kind and date
- position   where a target is that cannot say so itself
- targets    which of them the settings ask for
"""
