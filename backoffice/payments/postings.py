"""Which postings an event of a payment is, as a pure function of the payment's row.

The fee stands beside the amount and goes with it: posted in the same group, held in the same group, given up with the
hold, returned when the payment is reversed (冲正), kept when it is refunded.
"""

from collections.abc import Mapping
from typing import Any, Final

from backoffice.ledger import ALL_PENDING, Posting
from backoffice.ledger.chart import own_account
from backoffice.money import LEDGERS
from backoffice.payments.states import Event, Kind
from server.client import TransferFlag

CODES: Final = {
    "deposit": 101, "withdrawal": 102, "transfer": 103, "bulk_item": 104, "standing": 105, "card": 106, "wallet": 107,
    "qr": 108, "fee": 109,
}  # fmt: skip
"""`code` of a payment's transfer in the engine, by kind."""
FEE: Final = 119
REVERSAL: Final = 120
REFUND: Final = 121
FEE_INCOME: Final = 6021


def of_event(payment: Mapping[str, Any], event: Event) -> list[Posting]:
    """Give the postings, in order; none for an event that moves nothing."""
    ledger = LEDGERS[payment["currency"]]
    debit, credit, code = payment["debit_id"], payment["credit_id"], CODES[payment["kind"]]
    payer = debit if payment["from_account"] is not None else credit
    income, fee = own_account(FEE_INCOME, ledger), payment["fee_minor"]
    match event.kind:
        case Kind.AUTHORISE:
            flags = TransferFlag.PENDING if payment["mode"] != "direct" else TransferFlag(0)
            fees = [Posting(payer, income, fee, ledger, FEE, flags)] if fee else []
            return [Posting(debit, credit, event.amount_minor, ledger, code, flags), *fees]
        case Kind.CAPTURE:
            part = event.amount_minor if event.amount_minor < payment["authorised_minor"] else ALL_PENDING
            return _resolved(payment, TransferFlag.POST_PENDING_TRANSFER, part)
        case Kind.VOID | Kind.EXPIRE:
            return _resolved(payment, TransferFlag.VOID_PENDING_TRANSFER, ALL_PENDING)
        case Kind.REFUND:
            return [Posting(credit, debit, event.amount_minor, ledger, REFUND)]
        case Kind.REVERSE:
            fees = [Posting(income, payer, fee, ledger, REVERSAL)] if fee else []
            return [*fees, Posting(credit, debit, payment["captured_minor"], ledger, REVERSAL)]
        case Kind.DECLINE:
            return []


def _resolved(payment: Mapping[str, Any], flag: TransferFlag, amount_minor: int) -> list[Posting]:
    items = [Posting(amount_minor=amount_minor, flags=flag, pending_id=payment["hold_id"])]
    if payment["fee_hold_id"] is not None:
        items.append(Posting(flags=flag, pending_id=payment["fee_hold_id"]))
    return items
