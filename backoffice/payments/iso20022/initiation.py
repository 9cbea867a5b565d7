"""pain.001, the customer's payment file, into rows: each a payment, or the reasons why it is none.

The file as a whole is refused when it cannot be read, is not its schema's outside single payments, or when counts and
sums disagree: then it is not the file that was sent. Everything else is a matter of its row, so one wrong payment
does not stop the others. Reasons carry ISO 20022's codes (external code set, ExternalStatusReason1Code).
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022.guard import Node, XmlRefusedError
from backoffice.payments.iso20022.values import NOT_PROVIDED, Party, day_at, minor_of, party_of

ROWS_MAX = 30_000
_ROW = re.compile(r"Document/CstmrCdtTrfInitn/PmtInf\[(\d+)\]/CdtTrfTxInf\[(\d+)\]")


class Code(StrEnum):
    """Reasons of this module."""

    ACCOUNT = "AC01"
    ZERO = "AM01"
    CURRENCY = "AM03"
    DUPLICATE = "AM05"
    CONTROL_SUM = "AM10"
    AMOUNT = "AM12"
    COUNT = "AM18"
    CONTENT = "CH16"
    DAY = "DT01"
    INSTRUCTION_TWICE = "DU05"
    BATCH_TWICE = "DU02"
    FILE = "FF01"
    OTHER = "NARR"
    BANK = "RC01"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file or a row is refused."""

    code: Code
    field: str
    words: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One payment that can be taken up."""

    amount_minor: int
    currency: str
    day: date
    debtor: Party
    creditor: Party
    remittance: str = ""
    purpose: str = ""
    charges: str = ""
    """DEBT, CRED, SHAR, SLEV or nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A payment's place in the file: line, batch, names; the payment, or the reasons why it is none."""

    line: int
    batch_id: str
    instruction_id: str
    end_to_end_id: str
    uetr: str
    instruction: Instruction | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class File:
    """What was read. With `reasons` the file as a whole is refused, and none of its rows counts."""

    message: str
    message_id: str
    created_at: str
    initiating_party: str
    rows: tuple[Row, ...]
    reasons: tuple[Reason, ...]

    @property
    def accepted(self) -> tuple[Row, ...]:
        """Rows that can be taken up."""
        return () if self.reasons else tuple(row for row in self.rows if row.instruction is not None)


def read(content: bytes) -> File:
    """Read a file. Never raises for what the file holds."""
    try:
        document = schema.open_document(content)
        findings = schema.check(document)
        message = schema.message_of(document.namespace)
    except (XmlRefusedError, schema.MessageUnknownError) as error:
        return File("", "", "", "", (), (Reason(Code.FILE, "file", str(error)),))
    body = document.find("CstmrCdtTrfInitn")
    if body is None or not message.startswith("pain.001."):
        return File(message, "", "", "", (), (Reason(Code.FILE, "file", f"{message} is not a payment file"),))
    of_rows: dict[tuple[int, int], list[Reason]] = {}
    reasons: list[Reason] = []
    for finding in findings:
        row = _ROW.match(finding.path)
        words = f"line {finding.line}: {finding.words}"
        if row is None:
            reasons.append(Reason(Code.FILE, finding.path, words))
        else:
            place = (int(row[1]), int(row[2]))
            inside = finding.path[row.end() :].lstrip("/") or "CdtTrfTxInf"
            of_rows.setdefault(place, []).append(Reason(Code.CONTENT, inside, words))
    if not reasons:
        reasons = _totals(body)
    rows = () if reasons else tuple(_rows(body, of_rows))
    name, created, party = (body.value(f"GrpHdr/{path}") for path in ("MsgId", "CreDtTm", "InitgPty/Nm"))
    return File(message, name, created, party, rows, tuple(reasons))


def _totals(body: Node) -> list[Reason]:
    """Counts and sums of the file and of its batches; a sum that disagrees tells of a changed file."""
    reasons: list[Reason] = []
    whole_count, whole_sum = 0, Decimal(0)
    sums_known = True
    for number, batch in enumerate(body.all("PmtInf"), 1):
        count, total = 0, Decimal(0)
        for payment in batch.all("CdtTrfTxInf"):
            count += 1
            text = payment.value("Amt/InstdAmt", "Amt/EqvtAmt/Amt")
            try:
                total += Decimal(text)
            except ArithmeticError:
                sums_known = False  # the row has its own finding, and no sum can be told
        reasons += _compared(batch, f"PmtInf[{number}]", count, total if sums_known else None)
        whole_count, whole_sum = whole_count + count, whole_sum + total
    head = body.find("GrpHdr")
    if head is not None:
        reasons += _compared(head, "GrpHdr", whole_count, whole_sum if sums_known else None)
    if whole_count > ROWS_MAX:
        reasons.append(Reason(Code.FILE, "file", f"{whole_count} payments are more than {ROWS_MAX}"))
    names = Counter(batch.value("PmtInfId") for batch in body.all("PmtInf"))
    reasons += [Reason(Code.BATCH_TWICE, "PmtInfId", f"{n!r} stands {c} times") for n, c in names.items() if c > 1]
    return reasons


def _compared(node: Node, path: str, count: int, total: Decimal | None) -> list[Reason]:
    reasons = []
    told_count, told_sum = node.value("NbOfTxs"), node.value("CtrlSum")
    if told_count and int(told_count) != count:
        reasons.append(Reason(Code.COUNT, f"{path}/NbOfTxs", f"{told_count}, but there are {count}"))
    if told_sum and total is not None and Decimal(told_sum) != total:
        reasons.append(Reason(Code.CONTROL_SUM, f"{path}/CtrlSum", f"{told_sum}, but the amounts sum to {total}"))
    return reasons


def _rows(body: Node, of_rows: dict[tuple[int, int], list[Reason]]) -> list[Row]:
    instruction_ids: Counter[str] = Counter()
    ends: Counter[tuple[str, ...]] = Counter()
    rows = []
    for number, batch in enumerate(body.all("PmtInf"), 1):
        for place, payment in enumerate(batch.all("CdtTrfTxInf"), 1):
            reasons = of_rows.get((number, place), [])
            name, end = payment.value("PmtId/InstrId"), payment.value("PmtId/EndToEndId")
            made = None if reasons else _instruction(batch, payment, reasons)
            instruction_ids[name] += 1
            if name and instruction_ids[name] > 1:
                reasons.append(Reason(Code.INSTRUCTION_TWICE, "PmtId/InstrId", f"{name!r} stands above already"))
            if made is not None and end not in {"", NOT_PROVIDED}:
                same = (end, made.creditor.account, str(made.amount_minor), made.currency)
                ends[same] += 1
                if ends[same] > 1:
                    words = f"{end!r} to the same account with the same amount stands above already"
                    reasons.append(Reason(Code.DUPLICATE, "PmtId/EndToEndId", words))
            uetr = payment.value("PmtId/UETR")
            good = made if not reasons else None
            rows.append(Row(payment.line, batch.value("PmtInfId"), name, end, uetr, good, tuple(reasons)))
    return rows


def _instruction(batch: Node, payment: Node, reasons: list[Reason]) -> Instruction | None:
    """Make the payment; what hinders it goes into `reasons`."""

    def no(code: Code, name: str, words: str) -> None:
        reasons.append(Reason(code, name, words))

    if batch.value("PmtMtd") != "TRF":
        no(Code.OTHER, "PmtMtd", f"{batch.value('PmtMtd')} is not offered, only TRF (transfers)")
    day = day_at(batch, "ReqdExctnDt")
    if day is None:
        no(Code.DAY, "ReqdExctnDt", "is missing")
    debtor = party_of(batch.find("Dbtr"), batch.find("DbtrAcct"), batch.find("DbtrAgt"))
    creditor = party_of(payment.find("Cdtr"), payment.find("CdtrAcct"), payment.find("CdtrAgt"))
    if not debtor.account:
        no(Code.ACCOUNT, "DbtrAcct", "is missing")
    if not creditor.account:
        no(Code.ACCOUNT, "CdtrAcct", "is missing")
    if not creditor.name:
        no(Code.CONTENT, "Cdtr/Nm", "is missing")
    for name, party in (("DbtrAcct", debtor), ("CdtrAcct", creditor)):
        if party.iban and not iban_is_sound(party.account):
            no(Code.ACCOUNT, f"{name}/Id/IBAN", f"{party.account} has wrong check digits")
    told = payment.find("Amt/InstdAmt")
    minor, currency = 0, ""
    if told is None:
        no(Code.AMOUNT, "Amt/EqvtAmt", "an equivalent in another currency is not offered")
    else:
        currency = told.attributes["Ccy"]
        try:
            minor = minor_of(told.text.strip(), currency)
            if minor <= 0:
                no(Code.ZERO, "Amt/InstdAmt", "is zero")
        except ValueError as error:
            no(Code.CURRENCY if "none of" in str(error) else Code.AMOUNT, "Amt/InstdAmt", str(error))
    if reasons or day is None:
        return None
    texts = payment.find("RmtInf")
    remittance = " ".join(node.text.strip() for node in texts.all("Ustrd")) if texts is not None else ""
    purpose = payment.value("Purp/Cd", "Purp/Prtry")
    charges = payment.value("ChrgBr") or batch.value("ChrgBr")
    return Instruction(minor, currency, day, debtor, creditor, remittance, purpose, charges)


def iban_is_sound(text: str) -> bool:
    """Whether an IBAN's check digits are right (ISO 13616-1, ISO 7064 MOD 97-10)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1
