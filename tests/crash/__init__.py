"""Crash proofs: real processes killed with -9 under load, and an audit of everything they acknowledged.

How the parts fit together:

    run        one run: start the server, start the clients, strike, restart, audit, and so on; a Summary at the end
    client     a client process: pipelines requests, notes every intent before it is sent and every reply
    workload   what request number n of client c is: a pure function, so that a resend is the same to the byte
    trading    the same for desks, which trade
    journals   the clients' notes on disk, and how they are read back
    nemesis    the schedule of strikes (a function of the seed) and how each is carried out
    processes  the server, its PostgreSQL and the external one, as processes that can be killed
    books      the audit of the money: nothing lost, nothing doubled, every balance explained
    order      the audit of the order: timestamps, seq and reads fit one total order that fits real time
    desks      the audit of trading: replies, executions, orders, positions
    market     the log's trading in the engine that replays it and in the plain model
    views      records of the engine as the protocol shows them
    log        the log read from PostgreSQL and replayed from zero beside the server
    leaders    two servers on one log
    faulty_server   the server with one planted fault, which the audits must find; faulty_orders: those about orders

Nothing of the server's own client or wire is used to ask, or to read what comes: a fault there cannot hide a fault
here. (`market` copies the commands of a decoded log row out of memory with `server.wire.tools`.)
"""
