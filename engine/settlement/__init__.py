"""What trading does to the ledger: holds, fills, fees, margins, the end of the day. Compiled."""
