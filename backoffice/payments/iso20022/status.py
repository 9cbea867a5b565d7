"""pain.002 (version 10): what became of a payment file, row by row, for the customer who sent it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022.initiation import File, Reason, Row
from backoffice.payments.iso20022.values import moment

MESSAGE = "pain.002.001.10"


class Status(StrEnum):
    """Of a payment (external code set, ExternalPaymentTransactionStatus1Code)."""

    ACCEPTED = "ACCP"
    """Checked, will be carried out."""
    SETTLED = "ACSC"
    """The debtor's account is booked."""
    CREDITED = "ACCC"
    """The creditor's account is booked."""
    PENDING = "PDNG"
    REJECTED = "RJCT"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one row. A code is one of four characters, or of fewer, from ISO's list."""

    status: Status
    code: str = ""
    words: str = ""


def group_status(verdicts: Mapping[Status, int]) -> str:
    """Give one status for all: the common one, RJCT, PART when some were refused, PDNG when some are open."""
    found = {status for status, count in verdicts.items() if count}
    if len(found) == 1:
        return str(found.pop())
    if Status.REJECTED in found:
        return "PART"
    return str(Status.PENDING if Status.PENDING in found else Status.ACCEPTED)


def write(message_id: str, created_at: datetime, file: File, verdicts: Mapping[int, Verdict]) -> bytes:
    """Write the report. `verdicts` by the row's place in `file.rows`; rows refused on reading need none.

    Raises ValueError for a row that was accepted and has no verdict: silence would be read as acceptance.
    """
    rejected = bool(file.reasons)
    decided = [] if rejected else [_verdict(place, row, verdicts) for place, row in enumerate(file.rows)]
    counts = {status: sum(each.status is status for each in decided) for status in Status}
    group: dict[str, Any] = {
        "OrgnlMsgId": file.message_id or "NOTPROVIDED",
        "OrgnlMsgNmId": file.message or "pain.001",
        "OrgnlNbOfTxs": str(len(file.rows)) if file.rows else None,
        "GrpSts": str(Status.REJECTED) if rejected else group_status(counts),
        "StsRsnInf": [_reason(reason.code, _words(reason)) for reason in file.reasons[:20]],
        "NbOfTxsPerSts": [
            {"DtldNbOfTxs": str(count), "DtldSts": str(status)} for status, count in counts.items() if count
        ],
    }
    batches: dict[str, list[dict[str, Any]]] = {}
    for row, verdict in zip(file.rows, decided, strict=False):
        batches.setdefault(row.batch_id, []).append(_transaction(row, verdict))
    body = {
        "GrpHdr": {"MsgId": message_id, "CreDtTm": moment(created_at)},
        "OrgnlGrpInfAndSts": group,
        "OrgnlPmtInfAndSts": [{"OrgnlPmtInfId": name, "TxInfAndSts": rows} for name, rows in batches.items()],
    }
    return schema.build(MESSAGE, "CstmrPmtStsRpt", body)


def _verdict(place: int, row: Row, verdicts: Mapping[int, Verdict]) -> Verdict:
    if row.reasons:
        first = row.reasons[0]
        return Verdict(Status.REJECTED, first.code, "; ".join(_words(reason) for reason in row.reasons))
    if place not in verdicts:
        raise ValueError(f"verdicts: row {place + 1}, {row.end_to_end_id or row.instruction_id}, has none")
    return verdicts[place]


def _words(reason: Reason) -> str:
    return f"{reason.field}: {reason.words}"


def _reason(code: str, words: str) -> dict[str, Any]:
    pieces = [words[at : at + 105] for at in range(0, len(words), 105)]
    return {"Rsn": {"Cd": code} if code else None, "AddtlInf": pieces}


def _transaction(row: Row, verdict: Verdict) -> dict[str, Any]:
    return {
        "OrgnlInstrId": row.instruction_id or None,
        "OrgnlEndToEndId": row.end_to_end_id or None,
        "OrgnlUETR": row.uetr or None,
        "TxSts": str(verdict.status),
        "StsRsnInf": [_reason(verdict.code, verdict.words)] if verdict.code or verdict.words else [],
    }
