"""What the replays of real markets share: a plan of commands, two traders, and what the ledger must say afterwards."""
