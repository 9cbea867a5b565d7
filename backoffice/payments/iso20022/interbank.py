"""pacs.008 (version 08) for payments that leave to other banks, settled through an account or a clearing system."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from backoffice.money import Money
from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022.values import NOT_PROVIDED, Bank, Party, account, agent, amount, moment

MESSAGE = "pacs.008.001.08"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One payment to another bank. `uetr` must be a UUID of version 4, as its schema demands."""

    transaction_id: str
    uetr: UUID
    amount_minor: int
    debtor: Party
    creditor: Party
    end_to_end_id: str = NOT_PROVIDED
    instruction_id: str = ""
    remittance: str = ""
    purpose: str = ""
    charges: str = "SHAR"


def write(
    message_id: str,
    created_at: datetime,
    settlement_day: date,
    transfers: Sequence[Transfer],
    *,
    currency: str,
    sender: Bank,
    clearing_system: str = "",
) -> bytes:
    """Write a message. Without `clearing_system` the sender's account at the other bank settles it (INDA).

    All transfers are in one currency and settle on one day, as the sum in the header demands. Raises ValueError for
    what the schema does not allow, with the path.
    """
    if not transfers:
        raise ValueError("transfers: a message needs one")
    if any(transfer.amount_minor <= 0 for transfer in transfers):
        raise ValueError("transfers: an amount is not above zero")
    total = sum(transfer.amount_minor for transfer in transfers)
    settled = {"SttlmMtd": "CLRG", "ClrSys": {"Cd": clearing_system}} if clearing_system else {"SttlmMtd": "INDA"}
    head = {
        "MsgId": message_id,
        "CreDtTm": moment(created_at),
        "NbOfTxs": str(len(transfers)),
        "CtrlSum": Decimal(str(Money(total, currency))),
        "TtlIntrBkSttlmAmt": amount(total, currency),
        "IntrBkSttlmDt": settlement_day,
        "SttlmInf": settled,
        "InstgAgt": agent(sender),
    }
    items = [
        {
            "PmtId": {
                "InstrId": transfer.instruction_id or None,
                "EndToEndId": transfer.end_to_end_id,
                "TxId": transfer.transaction_id,
                "UETR": str(transfer.uetr),
            },
            "IntrBkSttlmAmt": amount(transfer.amount_minor, currency),
            "ChrgBr": transfer.charges,
            "Dbtr": {"Nm": transfer.debtor.name},
            "DbtrAcct": account(transfer.debtor),
            "DbtrAgt": agent(sender),
            "CdtrAgt": agent(transfer.creditor.bank),
            "Cdtr": {"Nm": transfer.creditor.name},
            "CdtrAcct": account(transfer.creditor),
            "Purp": {"Cd": transfer.purpose} if transfer.purpose else None,
            "RmtInf": {"Ustrd": [transfer.remittance[at : at + 140] for at in range(0, len(transfer.remittance), 140)]}
            if transfer.remittance
            else None,
        }
        for transfer in transfers
    ]
    return schema.build(MESSAGE, "FIToFICstmrCdtTrf", {"GrpHdr": head, "CdtTrfTxInf": items})
