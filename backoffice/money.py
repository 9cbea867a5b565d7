"""Amounts: integers in minor units inside, decimal strings with a currency at the edges. No float anywhere.

Minor units are ISO 4217's: two decimals unless the list says otherwise.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

DECIMALS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""Where they are not 2 (ISO 4217, table A.1)."""
LEDGERS: Final = {"CNY": 156, "USD": 840, "EUR": 978, "HKD": 344, "JPY": 392, "GBP": 826}
"""Ledger numbers of the engine: the currency's number in ISO 4217."""
CURRENCIES: Final = {number: name for name, number in LEDGERS.items()}
MINOR_MAX: Final = 2**63 - 1
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,3}))?")


class MoneyError(ValueError):
    """Not an amount of this currency."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units (分) of a currency; sums and differences stay in it and within 64 bits."""

    minor: int
    currency: str = "CNY"

    def __post_init__(self) -> None:
        if self.currency not in LEDGERS:
            raise MoneyError(f"{self.currency!r} is none of {', '.join(LEDGERS)}")
        if not -MINOR_MAX <= self.minor <= MINOR_MAX:
            raise MoneyError(f"{self.minor} does not fit into 64 bits")

    @classmethod
    def parse(cls, text: str, currency: str = "CNY") -> Self:
        """Read a decimal as the API has it: digits, a point, no more decimals than the currency has."""
        found = _DECIMAL.fullmatch(text)
        decimals = DECIMALS.get(currency, 2)
        if found is None:
            raise MoneyError(f"{text!r} is not a decimal number like 12.50")
        sign, whole, part = found.groups()
        if len(part or "") > decimals:
            raise MoneyError(f"{text!r} has more than {decimals} decimals")
        minor = int(whole) * 10**decimals + int((part or "").ljust(decimals, "0") or 0)
        return cls(-minor if sign else minor, currency)

    @property
    def ledger(self) -> int:
        """The engine's ledger of this currency."""
        return LEDGERS[self.currency]

    def __str__(self) -> str:
        decimals = DECIMALS.get(self.currency, 2)
        digits = str(abs(self.minor)).rjust(decimals + 1, "0")
        text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
        return f"-{text}" if self.minor < 0 else text

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise MoneyError(f"{self.currency} and {other.currency} do not mix")
        return other.minor
