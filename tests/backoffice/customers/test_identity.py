"""Numbers that are right, and what is wrong with the others."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.customers import identity
from tests.backoffice.customers.make import credit_code, resident_id

GOOD = [
    ("resident_id", "person", "110101 19900307 0038", "110101199003070038"),
    ("resident_id", "person", resident_id(17), resident_id(17)),
    ("resident_id", "person", resident_id(17, "19350101"), resident_id(17, "19350101")),  # registered in 1984
    ("credit_code", "enterprise", "91110000600037341l", "91110000600037341L"),
    ("credit_code", "enterprise", credit_code(5), credit_code(5)),
    ("passport", "person", "e12345678", "E12345678"),
    ("hk_macao_permit", "person", "H12345678", "H12345678"),
    ("taiwan_permit", "person", "12345678", "12345678"),
    ("foreign_permanent", "person", "USA123456789012", "USA123456789012"),
    ("foreign_id", "person", "706213/0023", "706213/0023"),
]


@pytest.mark.parametrize(("kind", "of", "number", "kept"), GOOD)
def test_good_numbers_are_kept_compact(kind: str, of: str, number: str, kept: str) -> None:
    assert identity.certificate(kind, number, of) == kept


@pytest.mark.parametrize(
    ("kind", "of", "number", "words"),
    [
        ("resident_id", "person", "110101199003070039", "check digit"),
        ("resident_id", "person", "11010119900307003", "length"),
        ("resident_id", "person", "1101011990030700A8", "characters"),
        ("resident_id", "person", resident_id(1, "19850230"), "day"),
        ("resident_id", "person", resident_id(1, region="999999"), "place"),
        ("credit_code", "enterprise", "91110000600037341A", "check digit"),
        ("credit_code", "person", credit_code(5), "none of"),
        ("passport", "enterprise", "E12345678", "none of"),
        ("passport", "person", "E-1", "5 to 9"),
        ("taiwan_permit", "person", "1234567", "8 or 10"),
        ("foreign_permanent", "person", "911156198108030019", "check digit"),
        ("nothing", "person", "1", "none of"),
    ],
)
def test_what_is_wrong_is_said(kind: str, of: str, number: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        identity.certificate(kind, number, of)


@settings(deadline=None)
@given(st.integers(0, 999), st.dates(date(1900, 1, 1), date(2020, 12, 31)), st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(serial: int, born: date, place: int, more: int) -> None:
    """ISO 7064 MOD 11-2 finds every single wrong digit."""
    number = resident_id(serial, born.strftime("%Y%m%d"))
    wrong = number[:place] + str((int(number[place]) + more) % 10) + number[place + 1 :]
    assert identity.certificate("resident_id", number, "person") == number
    with pytest.raises(ValueError, match=r"check digit|place|day"):
        identity.certificate("resident_id", wrong, "person")


def test_what_a_number_tells() -> None:
    number = resident_id(17, "19991231")
    assert identity.birth_date("resident_id", number) == date(1999, 12, 31)
    assert identity.gender("resident_id", number) == "male"
    assert identity.gender("resident_id", resident_id(20)) == "female"
    assert (identity.birth_date("passport", "E12345678"), identity.gender("passport", "E1")) == (None, "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("138 1234 5678", "13812345678"), ("+86-138-1234-5678", "13812345678"), ("0371-65001234", "037165001234"),
     ("+442071234567", "+442071234567")],
)  # fmt: skip
def test_phones(text: str, kept: str) -> None:
    assert identity.phone(text) == kept


@pytest.mark.parametrize("text", ["12812345678", "1381234567", "+0123456789", "abc", "138123456789"])
def test_no_phones(text: str) -> None:
    with pytest.raises(ValueError, match="mobile"):
        identity.phone(text)


@pytest.mark.parametrize(
    "text", ["a@b", "@example.com", "a b@example.com", "a@-x.com", "a@example..com", "x" * 250 + "@a.cn"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        identity.email(text)
    assert identity.email("Li.Min@Example.COM") == "Li.Min@example.com"
