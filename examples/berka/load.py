"""The bank's transactions as a load: `tongbao load berka`. In booking order, day after day; then they come again.

Each is a transfer between the customer and the account of the bank that it stood against, with an id drawn from the
seed, so that the same data can be sent as often as one likes.
"""

from pathlib import Path

from examples.berka import data
from examples.berka.books import CUSTOMER_CODE, LEDGER, Contra, kind_of
from loadtest.sources import WRITTEN, Source, SourceError, Wanted, Writer
from loadtest.stretches import drawn

CONTRA_CODE = 1


def directory(wanted: Wanted) -> Path:
    """Where the data are; SourceError when they are nowhere."""
    found = wanted.data / "berka" if wanted.data is not None else data.find()
    if found is None or not (found / data.TRANSACTION_FILE).is_file():
        where = f"not in {found}" if found else "not here"
        raise SourceError(f"workload: the data of berka are {where}; give --data, or set TONGBAO_SHARED_DATA")
    return found


def source(wanted: Wanted) -> Source:
    """Make it."""
    where = directory(wanted)
    rows = data.booking_order(data.read_transactions(where))
    total = wanted.prepared
    accounts = [(int(contra), 1) for contra in Contra] + [
        (each.id, CUSTOMER_CODE) for each in data.read_accounts(where)
    ]
    writer = Writer(("transaction",), wanted, total)
    for number in range(total):
        row = rows[number % len(rows)]
        kind = kind_of(row)
        debit, credit = (kind.contra, row.account) if row.amount > 0 else (row.account, kind.contra)
        item = {
            "id": str(drawn(wanted.workload.seed, number)[0]),
            "debit_account_id": int(debit),
            "credit_account_id": int(credit),
            "amount": abs(row.amount),
            "ledger": LEDGER,
            "code": kind.code,
        }
        writer.add("transaction", "create_transfers", [item], 1)
    stages = [("create_accounts", ({"id": number, "ledger": LEDGER, "code": code} for number, code in accounts))]
    facts = {"transactions": len(rows), "customers": len(accounts) - len(Contra)}
    return Source(writer.script(400), stages, WRITTEN, count=total, facts=facts)
