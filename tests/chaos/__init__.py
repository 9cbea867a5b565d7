"""Real processes and real faults: two servers, a follower and PostgreSQL under load, damaged disks, overload.

run         one run: a site, faults that the seed chooses, the crash test's audit after each
faults      what may happen
site        the processes: servers, follower, PostgreSQL, and a proxy at every connection
proxy       the proxies: they swallow, cut and refuse
load        callers of the public client
corruption  flipped bits in the log, in snapshots and backups: every one is noticed
flips       one flipped bit
stored      a log in memory that the server's own readers read
"""
