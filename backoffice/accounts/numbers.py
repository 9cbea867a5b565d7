"""Account numbers as people see them: the issuer's digits, a serial number, and Luhn's check digit (ISO/IEC 7812-1)."""

from typing import Final

from stdnum import luhn

ISSUER: Final = "990156"
"""Begins with 9, which ISO/IEC 7812-1 leaves to national use: never mistaken for a card of a real network."""


def number_of(serial: int) -> str:
    """Nineteen digits for a serial number. Raises ValueError for one that does not fit into twelve digits."""
    if not 0 <= serial < 10**12:
        raise ValueError(f"serial: {serial} does not fit into twelve digits")
    body = f"{ISSUER}{serial:012d}"
    return body + str(luhn.calc_check_digit(body))


def is_number(text: str) -> bool:
    """Whether it is written like one of ours: a mistyped digit is seen at once."""
    return len(text) == 19 and text.isascii() and text.isdigit() and text.startswith(ISSUER) and luhn.is_valid(text)
