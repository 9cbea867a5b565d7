"""Files in which a rail tells at the end of its day what it has settled: read, checked and written.

Two formats carry the same records. `pipe`: lines of fields between `|`, as card schemes send them: a header, details, a
trailer with count and sums. `csv`: a title line and rows, as wallets offer them for download; count and sums stand in
a last row that begins with `#total`. Both are UTF-8, with or without a byte-order mark, any line ends.

Reading gathers findings row by row instead of stopping at the first. A file whose trailer disagrees with its rows, or
that has no trailer, was cut or changed on its way and is not `sound`: nobody should reconcile against it.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice

from backoffice.money import LEDGERS, Money, MoneyError

BYTES_MAX = 64 * 2**20
"""A day of half a million rows; larger files come in parts."""
ROWS_MAX = 1_000_000
FIELD_MAX = 256
FINDINGS_MAX = 1_000
"""Then reading ends: such a file is not worth a longer list."""
COLUMNS = ("rail_reference", "our_reference", "kind", "amount", "fee", "currency", "day", "batch")


class Format(StrEnum):
    """How the records are written."""

    PIPE = "pipe"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class RailItem:
    """One thing the rail has settled.

    `amount_minor` is signed as the institution sees it: above zero the rail owes us, below zero we owe the rail.
    `fee_minor` is what the rail keeps. `batch` joins items that the rail settles in one sum; "" for none.
    """

    rail_reference: str
    our_reference: str
    kind: str
    amount_minor: int
    currency: str
    day: date
    fee_minor: int = 0
    batch: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a row; line 0 is the file as a whole."""

    line: int
    field: str
    words: str


@dataclass(frozen=True, slots=True)
class RailFile:
    """What was read. `digest` is the SHA-256 of the bytes: the same file is not taken twice."""

    rail: str
    day: date | None
    items: tuple[RailItem, ...]
    findings: tuple[Finding, ...]
    digest: str

    @property
    def sound(self) -> bool:
        """Whether the file may be reconciled."""
        return not self.findings


def totals(items: Iterable[RailItem]) -> dict[str, int]:
    """Sum by currency, in minor units."""
    sums: dict[str, int] = {}
    for item in items:
        sums[item.currency] = sums.get(item.currency, 0) + item.amount_minor
    return dict(sorted(sums.items()))


def write(form: Format, rail: str, day: date, items: Sequence[RailItem]) -> bytes:
    """Write a file that `read` finds sound. Raises ValueError for text that the format cannot carry."""
    rows = [_fields(item) for item in items]
    for row in rows:
        for name, text in zip(COLUMNS, row, strict=True):
            _must_fit(name, text)
    _must_fit("rail", rail)
    sums = " ".join(f"{currency}={Money(minor, currency)}" for currency, minor in totals(items).items())
    out = io.StringIO()
    if form is Format.PIPE:
        lines = [("H", rail, day.isoformat()), *(("D", *row) for row in rows), ("T", str(len(rows)), sums)]
        out.writelines("|".join(line) + "\n" for line in lines)
    else:
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
        writer.writerow(("#total", rail, day.isoformat(), str(len(rows)), sums))
    return out.getvalue().encode()


def read(form: Format, content: bytes) -> RailFile:
    """Read a file and say everything that is wrong with it. Never raises for what the file holds."""
    digest = hashlib.sha256(content).hexdigest()
    if len(content) > BYTES_MAX:
        finding = Finding(0, "file", f"{len(content)} bytes are more than {BYTES_MAX}")
        return RailFile("", None, (), (finding,), digest)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return RailFile("", None, (), (Finding(0, "file", f"byte {error.start} is not UTF-8"),), digest)
    reader = _Reader()
    try:
        (reader.pipe if form is Format.PIPE else reader.csv)(text)
    except _TooManyError:
        reader.findings.append(Finding(0, "file", "too many findings; the rest was not read"))
    return RailFile(reader.rail, reader.day, tuple(reader.items), tuple(reader.findings), digest)


class _TooManyError(Exception):
    """Enough findings."""


class _Reader:
    def __init__(self) -> None:
        self.rail = ""
        self.day: date | None = None
        self.items: list[RailItem] = []
        self.findings: list[Finding] = []
        self.lines_of: dict[str, int] = {}
        self.rows = 0

    def say(self, line: int, name: str, words: str) -> None:
        self.findings.append(Finding(line, name, words))
        if len(self.findings) >= FINDINGS_MAX:
            raise _TooManyError

    def pipe(self, text: str) -> None:
        ended = False
        for number, line in enumerate(text.splitlines(), 1):
            fields = line.split("|")
            match fields[0]:
                case _ if ended:
                    self.say(number, "line", "stands after the trailer")
                case "H" if number == 1 and len(fields) == 3:
                    self.head(number, fields[1], fields[2])
                case "D" if number > 1:
                    self.row(number, fields[1:])
                case "T" if len(fields) == 3:
                    ended = True
                    self.total(number, fields[1], fields[2])
                case _:
                    self.say(number, "line", "is neither header, detail nor trailer, or not in its place")
        if not ended:
            self.say(0, "trailer", "is missing: the file was cut")

    def csv(self, text: str) -> None:
        ended = False
        try:
            rows = csv.reader(io.StringIO(text, newline=""), strict=True)
            if tuple(next(rows, ())) != COLUMNS:
                self.say(1, "title", f"is not {','.join(COLUMNS)}")
                return
            for fields in islice(rows, ROWS_MAX + 2):
                number = rows.line_num
                if ended:
                    self.say(number, "line", "stands after the total")
                elif fields[:1] == ["#total"] and len(fields) == 5:
                    ended = True
                    self.head(number, fields[1], fields[2])
                    self.total(number, fields[3], fields[4])
                else:
                    self.row(number, fields)
        except csv.Error as error:
            self.say(rows.line_num, "line", str(error))
        if not ended:
            self.say(0, "total", "is missing: the file was cut")

    def head(self, line: int, rail: str, day: str) -> None:
        self.rail = rail
        self.day = self.date(line, "day", day)
        if not rail:
            self.say(line, "rail", "is empty")

    def total(self, line: int, count: str, sums: str) -> None:
        if count != str(self.rows):
            self.say(line, "count", f"{count!r}, but the file has {self.rows} rows")
        known = " ".join(f"{currency}={Money(minor, currency)}" for currency, minor in totals(self.items).items())
        if sums != known and not self.findings:  # rows that were not understood make every sum wrong
            self.say(line, "total", f"{sums!r}, but the rows sum to {known!r}")

    def date(self, line: int, name: str, text: str) -> date | None:
        try:
            if len(text) == 10:  # the basic form and week dates are days too, but not in these files
                return date.fromisoformat(text)
        except ValueError:
            pass
        self.say(line, name, f"{text!r} is not a day like 2026-11-23")
        return None

    def row(self, line: int, fields: list[str]) -> None:
        self.rows += 1
        if self.rows > ROWS_MAX:
            self.say(line, "file", f"has more than {ROWS_MAX} rows")
            raise _TooManyError
        if len(fields) != len(COLUMNS):
            self.say(line, "line", f"has {len(fields)} fields, not {len(COLUMNS)}")
            return
        before = len(self.findings)
        values = dict(zip(COLUMNS, fields, strict=True))
        for name, text in values.items():
            if len(text) > FIELD_MAX:
                self.say(line, name, f"is longer than {FIELD_MAX} characters")
        for name in ("rail_reference", "kind"):
            if not values[name]:
                self.say(line, name, "is empty")
        known = self.lines_of.setdefault(values["rail_reference"], line)
        if known != line and values["rail_reference"]:
            self.say(line, "rail_reference", f"{values['rail_reference']!r} stands in line {known} too")
        if values["currency"] not in LEDGERS:
            self.say(line, "currency", f"{values['currency']!r} is none of {', '.join(LEDGERS)}")
            return
        amount, fee = (self.money(line, name, values[name], values["currency"]) for name in ("amount", "fee"))
        if fee is not None and fee < 0:
            self.say(line, "fee", "is below zero")
        day = self.date(line, "day", values["day"])
        if len(self.findings) == before and amount is not None and fee is not None and day is not None:
            self.items.append(
                RailItem(
                    values["rail_reference"],
                    values["our_reference"],
                    values["kind"],
                    amount,
                    values["currency"],
                    day,
                    fee,
                    values["batch"],
                )
            )

    def money(self, line: int, name: str, text: str, currency: str) -> int | None:
        try:
            return Money.parse(text, currency).minor
        except MoneyError as error:
            self.say(line, name, str(error))
            return None


def _fields(item: RailItem) -> tuple[str, ...]:
    return (
        item.rail_reference,
        item.our_reference,
        item.kind,
        str(Money(item.amount_minor, item.currency)),
        str(Money(item.fee_minor, item.currency)),
        item.currency,
        item.day.isoformat(),
        item.batch,
    )


def _must_fit(name: str, text: str) -> None:
    if len(text) > FIELD_MAX or any(sign in "|\x85\u2028\u2029" or ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise ValueError(f"{name}: {text!r} is too long or has a sign that separates fields or lines")
    if name in {"rail_reference", "our_reference", "kind", "batch", "rail"} and text[:1] in {"=", "+", "-", "@", "#"}:
        raise ValueError(f"{name}: {text!r} begins with a sign that a spreadsheet takes for a formula")
