"""The way to the engine: planned postings, their dispatch, outcomes, accounts and balances."""

from backoffice.ledger.gateway import Gateway
from backoffice.ledger.plan import ALL_PENDING, Posting, open_account, own, plan
from backoffice.ledger.settlement import Outcome, settled_by

__all__ = ["ALL_PENDING", "Gateway", "Outcome", "Posting", "open_account", "own", "plan", "settled_by"]
