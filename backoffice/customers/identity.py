"""Who somebody is on paper: numbers of certificates, phones and addresses, checked by their own rules.

Each check returns the number as it is kept (compact, upper case), or raises ValueError with what is wrong. Whether a
number has been issued only the authorities know.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from stdnum import numdb
from stdnum.cn import ric, uscc
from stdnum.exceptions import InvalidChecksum, InvalidComponent, InvalidFormat, InvalidLength, ValidationError
from stdnum.util import clean

FIRST_NUMBERS: Final = 1984
"""When citizens got their first numbers."""
PERSON: Final = "person"
ENTERPRISE: Final = "enterprise"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of certificate: who may have it, its names, and how its number is checked."""

    name: str
    of: str
    zh: str
    en: str
    check: Callable[[str], str]


_WORDS: Final = {
    InvalidLength: "has the wrong length",
    InvalidFormat: "has characters that do not belong there",
    InvalidComponent: "names a place or a day that does not exist",
    InvalidChecksum: "has a wrong check digit",
}


def _standard(validate: Callable[[str], str]) -> Callable[[str], str]:
    def check(number: str) -> str:
        try:
            return validate(number)
        except ValidationError as error:
            raise ValueError(_WORDS.get(type(error), "is not valid")) from None

    return check


def _pattern(pattern: str, words: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(number: str) -> str:
        compact = clean(number, " -").upper().strip()
        if not compiled.fullmatch(compact):
            raise ValueError(words)
        return compact

    return check


def _resident(number: str) -> str:
    """GB 11643: region, day of birth, serial number, check digit by ISO 7064 MOD 11-2.

    The region is where somebody was registered, which for the older ones was long after they were born: numbers began
    in 1984. So it must have existed at some time since then, or since the birth. (python-stdnum asks for the birth.)
    """
    compact = clean(number, " -").upper().strip()
    if len(compact) != 18:
        raise ValueError(_WORDS[InvalidLength])
    if not re.fullmatch(r"[0-9]{17}[0-9X]", compact):
        raise ValueError(_WORDS[InvalidFormat])
    if ric.calc_check_digit(compact) != compact[-1]:
        raise ValueError(_WORDS[InvalidChecksum])
    try:
        born = ric.get_birth_date(compact)
    except InvalidComponent:
        raise ValueError(_WORDS[InvalidComponent]) from None
    if born.year < 1870 or not region_existed(compact[:6], max(born.year, FIRST_NUMBERS)):
        raise ValueError(_WORDS[InvalidComponent])
    return compact


def region_existed(code: str, since: int) -> bool:
    """Whether a county of GB/T 2260 existed in a year or later."""
    info = {name: value for _, part in numdb.get("cn/loc").info(code) for name, value in part.items()}
    for county in info.get("county", "").split(","):
        years = re.match(r"\[([0-9]*)-([0-9]*)\]", county)
        if county and (years is None or not years[2] or int(years[2]) >= since):
            return True
    return False


def _foreign_permanent(number: str) -> str:
    """New form (2023): 18 digits that begin with 9, checked like GB 11643; old form: 3 letters and 12 digits."""
    compact = clean(number, " -").upper().strip()
    if re.fullmatch(r"[A-Z]{3}[0-9]{12}", compact):
        return compact
    if re.fullmatch(r"9[0-9]{16}[0-9X]", compact):
        if ric.calc_check_digit(compact) != compact[-1]:
            raise ValueError("has a wrong check digit")
        return compact
    raise ValueError("is neither 18 digits beginning with 9, nor 3 letters and 12 digits")


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("resident_id", PERSON, "居民身份证", "Resident identity card (GB 11643)", _resident),
        Kind("passport", PERSON, "护照", "Passport", _pattern(r"[A-Z0-9]{5,9}", "is not 5 to 9 letters and digits")),
        Kind(
            "hk_macao_permit", PERSON, "港澳居民来往内地通行证", "Mainland travel permit for Hong Kong and Macao",
            _pattern(r"[HM][0-9]{8}([0-9]{2})?", "is not H or M and 8 or 10 digits"),
        ),
        Kind(
            "taiwan_permit", PERSON, "台湾居民来往大陆通行证", "Mainland travel permit for Taiwan",
            _pattern(r"[0-9]{8}([0-9]{2})?", "is not 8 or 10 digits"),
        ),
        Kind(
            "foreign_permanent", PERSON, "外国人永久居留身份证", "Foreigner's permanent residence card",
            _foreign_permanent,
        ),
        Kind(
            "foreign_id", PERSON, "境外身份证件", "Identity number of another country",
            _pattern(r"[A-Z0-9/]{4,32}", "is not 4 to 32 letters and digits"),
        ),
        Kind("credit_code", ENTERPRISE, "统一社会信用代码", "Unified social credit code (GB 32100)",
             _standard(uscc.validate)),
        Kind(
            "foreign_registration", ENTERPRISE, "境外登记号", "Registration of another country",
            _pattern(r"[A-Z0-9/.]{4,32}", "is not 4 to 32 letters and digits"),
        ),
    )
}  # fmt: skip


def certificate(kind: str, number: str, of: str) -> str:
    """Check a number of a kind that a person or an enterprise has; return it as it is kept."""
    if kind not in KINDS or KINDS[kind].of != of:
        fitting = ", ".join(name for name, each in KINDS.items() if each.of == of)
        raise ValueError(f"{kind!r} is none of {fitting}")
    return KINDS[kind].check(number)


def birth_date(kind: str, number: str) -> date | None:
    """Give the day of birth that a number tells, if it tells one."""
    return ric.get_birth_date(number) if kind == "resident_id" else None


def gender(kind: str, number: str) -> str:
    """Give male or female where the number tells (GB 11643: the 17th digit is odd for men), else an empty string."""
    if kind != "resident_id":
        return ""
    return "male" if int(number[16]) % 2 else "female"


def phone(text: str) -> str:
    """Check a number: mainland mobile or landline, or +country and up to 15 digits (E.164)."""
    compact = clean(text, " -().").strip()
    if compact.startswith("+86"):
        compact = compact[3:]
    elif compact.startswith("0086"):
        compact = compact[4:]
    if re.fullmatch(r"1[3-9][0-9]{9}|0[0-9]{9,11}|\+[1-9][0-9]{6,14}", compact):
        return compact
    raise ValueError("is neither 11 digits of a mobile, nor an area code and number, nor + and a country's number")


def email(text: str) -> str:
    """Check an address as far as one can without sending to it; the domain is kept in small letters."""
    local, at, domain = text.strip().rpartition("@")
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    good = re.fullmatch(r"[^\s@<>\"]{1,64}", local) and re.fullmatch(rf"({label}\.)+{label}", domain.lower())
    if not at or not good or len(text) > 254:
        raise ValueError("is not an address like name@example.com")
    return f"{local}@{domain.lower()}"
