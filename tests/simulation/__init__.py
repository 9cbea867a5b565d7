"""The whole server in one process, on virtual time, with a database, a network and clocks that obey a seed.

    loop       many processes in one event loop; time jumps from one timer to the next
    network    connections that are cut, fall silent, arrive in pieces
    database   the log's tables, the lease, and the statements that the server sends
    sessions   what asyncpg.connect gives: sessions that are lost before, behind and between
    virtual    clocks, chance, forks and the database of Python, put on the world's
    machines   a machine: a disk, a port, and a process of the server's own code
    clients    a client: a notebook, and the server's own client
    history    what clients ask, and were told
    faults     what goes wrong
    world      one seed: all of these together
    audit      what clients were told, against the log, the plain model and every engine
    mutants    planted faults, which must be found
    many       many seeds on several processes

See docs/SIMULATION.md; `python -m tests.simulation --help`.
"""
