"""The accounts of a Czech bank, 1993-1994, as a ledger: import, and reconcile with the bank's own balances."""
