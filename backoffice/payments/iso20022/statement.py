"""camt.053 and camt.054: statements and notifications, read (any version) and written (version 08).

A statement proves itself: the opening balance and the entries make the closing balance. That is checked when one is
read and before one is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022.guard import Node
from backoffice.payments.iso20022.values import Bank, Party, account, agent, amount, day_at, minor_of, moment
from backoffice.payments.railfile import RailItem

STATEMENT = "camt.053.001.08"
NOTIFICATION = "camt.054.001.08"
_PARTS = {
    "052": ("BkToCstmrAcctRpt", "Rpt"),
    "053": ("BkToCstmrStmt", "Stmt"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}
_FIRST = {"053": "BkToCstmrStmtV01", "054": "BkToCstmrDbtCdtNtfctnV01", "052": "BkToCstmrAcctRptV01"}
"""What version 01 called the first part."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A booked line: signed amount (above zero: credit), day, value day, references, who is on the other side.

    `family` is ISO's bank transaction code as three words: domain, family, sub-family ("PMNT", "ICDT", "DMCT").
    """

    reference: str
    amount_minor: int
    day: date
    value_day: date | None = None
    end_to_end_id: str = ""
    transaction_id: str = ""
    other: Party = field(default_factory=Party)
    remittance: str = ""
    family: tuple[str, str, str] = ("PMNT", "OTHR", "OTHR")
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's entries of a time. Balances are signed and may be None where a message has none (camt.054)."""

    id: str
    owner: Party
    currency: str
    entries: tuple[Entry, ...]
    opening_minor: int | None = None
    closing_minor: int | None = None
    first_day: date | None = None
    last_day: date | None = None

    def fault(self) -> str:
        """In what the statement contradicts itself; "" when it does not, or has no balances to tell."""
        if self.opening_minor is None or self.closing_minor is None:
            return ""
        reached = self.opening_minor + sum(entry.amount_minor for entry in self.entries)
        if reached == self.closing_minor:
            return ""
        return f"statement {self.id}: entries lead to {reached}, the closing balance is {self.closing_minor}"


# --- reading --------------------------------------------------------------------------------------


def read(content: bytes) -> list[Statement]:
    """Read every statement of a message. Raises ValueError (XmlRefusedError, MessageUnknownError) for what is none.

    Only booked entries are taken. A statement in a currency that we do not know is refused, not skipped.
    """
    document = schema.open_document(content)
    findings = schema.check(document)
    message = schema.message_of(document.namespace)
    kind = message.split(".")[1]
    if not message.startswith("camt.05") or kind not in _PARTS:
        raise schema.MessageUnknownError(f"{message} is not a statement")
    if findings:
        raise ValueError(f"line {findings[0].line}: {findings[0].path}: {findings[0].words}")
    body = document.find(_PARTS[kind][0]) or document.find(_FIRST[kind])
    if body is None:
        raise ValueError(f"{message}: there is nothing in it")
    return [_statement(node) for node in body.all(_PARTS[kind][1])]


def _statement(node: Node) -> Statement:
    entries = [entry for entry in node.all("Ntry") if entry.value("Sts/Cd", "Sts/Prtry", "Sts") in {"BOOK", "INFO"}]
    currency = node.value("Acct/Ccy") or _first_currency(node)
    account_node = node.find("Acct")
    number = account_node.value("Id/IBAN") if account_node is not None else ""
    other = account_node.value("Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN") if account_node is not None else ""
    owner = Party(node.value("Acct/Ownr/Nm"), number or other, bool(number))
    balances = {balance.value("Tp/CdOrPrtry/Cd", "Tp/Cd"): balance for balance in node.all("Bal")}
    opening = balances.get("OPBD") or balances.get("PRCD")
    closing = balances.get("CLBD")
    return Statement(
        node.value("Id"),
        owner,
        currency,
        tuple(_entry(entry, currency) for entry in entries),
        _signed(opening, currency) if opening is not None else None,
        _signed(closing, currency) if closing is not None else None,
        day_at(node, "FrToDt/FrDtTm"),
        day_at(node, "FrToDt/ToDtTm"),
    )


def _first_currency(node: Node) -> str:
    for name in ("Bal", "Ntry"):
        for child in node.all(name):
            told = child.find("Amt")
            if told is not None:
                return told.attributes["Ccy"]
    return "CNY"


def _signed(node: Node, currency: str) -> int:
    told = node.find("Amt")
    if told is None or told.attributes["Ccy"] != currency:
        raise ValueError(f"line {node.line}: Amt: is not in {currency}, the account's currency")
    minor = minor_of(told.text.strip(), currency)
    return -minor if node.value("CdtDbtInd") == "DBIT" else minor


def _entry(node: Node, currency: str) -> Entry:
    minor = _signed(node, currency)
    day = day_at(node, "BookgDt") or day_at(node, "ValDt")
    if day is None:
        raise ValueError(f"line {node.line}: Ntry: has neither booking nor value day")
    details = node.find("NtryDtls/TxDtls") or node.find("TxDtls") or Node("", "", {}, node.line)
    side = "Dbtr" if minor > 0 else "Cdtr"
    other = Party(
        details.value(f"RltdPties/{side}/Nm", f"RltdPties/{side}/Pty/Nm"),
        details.value(f"RltdPties/{side}Acct/Id/IBAN", f"RltdPties/{side}Acct/Id/Othr/Id"),
        details.find(f"RltdPties/{side}Acct/Id/IBAN") is not None,
    )
    code = node.find("BkTxCd/Domn") or details.find("BkTxCd/Domn")
    family = (
        (code.value("Cd"), code.value("Fmly/Cd"), code.value("Fmly/SubFmlyCd"))
        if code is not None
        else ("PMNT", "OTHR", "OTHR")
    )
    return Entry(
        node.value("AcctSvcrRef") or details.value("Refs/AcctSvcrRef") or node.value("NtryRef"),
        minor,
        day,
        day_at(node, "ValDt"),
        details.value("Refs/EndToEndId"),
        details.value("Refs/TxId", "Refs/InstrId"),
        other,
        details.value("RmtInf/Ustrd"),
        family,
        node.value("RvslInd") in {"true", "1"},
    )


def rail_items(statement: Statement) -> list[RailItem]:
    """Give a correspondent's statement as rail items, to reconcile our account there: its credit is our debit.

    Entries without a reference of the correspondent's get one from the statement and their place.
    """
    return [
        RailItem(
            entry.reference or f"{statement.id}/{place}",
            entry.transaction_id or ("" if entry.end_to_end_id == "NOTPROVIDED" else entry.end_to_end_id),
            "reversal" if entry.reversal else "entry",
            entry.amount_minor,
            statement.currency,
            entry.day,
        )
        for place, entry in enumerate(statement.entries, 1)
    ]


# --- writing --------------------------------------------------------------------------------------


def write_statements(message_id: str, created_at: datetime, bank: Bank, statements: Sequence[Statement]) -> bytes:
    """Write a camt.053. Raises ValueError for a statement without balances or one that contradicts itself."""
    items = []
    for statement in statements:
        if statement.opening_minor is None or statement.closing_minor is None or statement.last_day is None:
            raise ValueError(f"statement {statement.id}: balances and last day are needed")
        if statement.fault():
            raise ValueError(statement.fault())
        first = statement.first_day or statement.last_day
        balances = [
            _balance("OPBD", statement.opening_minor, statement.currency, first),
            _balance("CLBD", statement.closing_minor, statement.currency, statement.last_day),
        ]
        items.append(_head(statement, created_at, bank) | {"Bal": balances, "Ntry": _entries(statement)})
    head = {"MsgId": message_id, "CreDtTm": moment(created_at)}
    return schema.build(STATEMENT, "BkToCstmrStmt", {"GrpHdr": head, "Stmt": items})


def write_notifications(message_id: str, created_at: datetime, bank: Bank, statements: Sequence[Statement]) -> bytes:
    """Write a camt.054: entries without balances."""
    items = [_head(each, created_at, bank) | {"Ntry": _entries(each)} for each in statements]
    head = {"MsgId": message_id, "CreDtTm": moment(created_at)}
    return schema.build(NOTIFICATION, "BkToCstmrDbtCdtNtfctn", {"GrpHdr": head, "Ntfctn": items})


def _head(statement: Statement, created_at: datetime, bank: Bank) -> dict[str, Any]:
    owner = {"Nm": statement.owner.name} if statement.owner.name else None
    number = account(statement.owner)
    if number is None:
        raise ValueError(f"statement {statement.id}: the account has no number")
    return {
        "Id": statement.id,
        "CreDtTm": moment(created_at),
        "Acct": number | {"Ccy": statement.currency, "Ownr": owner, "Svcr": agent(bank)},
    }


def _indicator(minor: int) -> str:
    return "DBIT" if minor < 0 else "CRDT"


def _balance(kind: str, minor: int, currency: str, day: date) -> dict[str, Any]:
    return {
        "Tp": {"CdOrPrtry": {"Cd": kind}},
        "Amt": amount(abs(minor), currency),
        "CdtDbtInd": _indicator(minor),
        "Dt": {"Dt": day},
    }


def _entries(statement: Statement) -> list[dict[str, Any]]:
    return [_written(entry, statement.currency) for entry in statement.entries]


def _written(entry: Entry, currency: str) -> dict[str, Any]:
    side = "Dbtr" if entry.amount_minor > 0 else "Cdtr"
    parties: dict[str, Any] = {}
    if entry.other.name:
        parties[side] = {"Pty": {"Nm": entry.other.name}}
    if entry.other.account:
        parties[f"{side}Acct"] = account(entry.other)
    texts = [entry.remittance[at : at + 140] for at in range(0, len(entry.remittance), 140)]
    domain, family, sub = entry.family
    return {
        "Amt": amount(abs(entry.amount_minor), currency),
        "CdtDbtInd": _indicator(entry.amount_minor),
        "RvslInd": True if entry.reversal else None,
        "Sts": {"Cd": "BOOK"},
        "BookgDt": {"Dt": entry.day},
        "ValDt": {"Dt": entry.value_day or entry.day},
        "AcctSvcrRef": entry.reference or None,
        "BkTxCd": {"Domn": {"Cd": domain, "Fmly": {"Cd": family, "SubFmlyCd": sub}}},
        "NtryDtls": [
            {
                "TxDtls": [
                    {
                        "Refs": {
                            "EndToEndId": entry.end_to_end_id or None,
                            "TxId": entry.transaction_id or None,
                        },
                        "RltdPties": parties or None,
                        "RmtInf": {"Ustrd": texts} if texts else None,
                    }
                ]
            }
        ],
    }
