from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.payments.railfile import Format, RailItem, read, write

DAY = date(2026, 11, 23)
ITEMS = [
    RailItem("R1", "P1", "capture", 12_345, "CNY", DAY, fee_minor=12),
    RailItem("R2", "P1", "refund", -5, "CNY", DAY, batch="B1"),
    RailItem("R3", "", "capture", 700, "JPY", DAY),
]
PIPE = """H|card|2026-11-23
D|R1|P1|capture|123.45|0.12|CNY|2026-11-23|
D|R2|P1|refund|-0.05|0.00|CNY|2026-11-23|B1
D|R3||capture|700|0|JPY|2026-11-23|
T|3|CNY=123.40 JPY=700
"""


def findings(text: str, form: Format = Format.PIPE) -> list[tuple[int, str]]:
    found = read(form, text.encode())
    assert not found.sound
    return [(finding.line, finding.field) for finding in found.findings]


def test_the_format_is_what_the_document_says() -> None:
    assert write(Format.PIPE, "card", DAY, ITEMS).decode() == PIPE


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("items", [ITEMS, []])
def test_what_is_written_is_read(form: Format, items: list[RailItem]) -> None:
    found = read(form, write(form, "card", DAY, items))
    assert (found.rail, found.day, list(found.items), found.findings) == ("card", DAY, items, ())


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + PIPE.encode(), PIPE.replace("\n", "\r\n").encode()])
def test_marks_and_line_ends(content: bytes) -> None:
    assert read(Format.PIPE, content).sound


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("123.45", "123.456", 2, "amount"),
        ("123.45", "1e2", 2, "amount"),
        ("123.45", "９９.00", 2, "amount"),  # digits, but not ASCII's
        ("0.12", "-0.12", 2, "fee"),
        ("|CNY|2026-11-23|\n", "|XYZ|2026-11-23|\n", 2, "currency"),
        ("CNY|2026-11-23|\n", "CNY|2026-02-30|\n", 2, "day"),
        ("CNY|2026-11-23|\n", "CNY|20261123|\n", 2, "day"),
        ("D|R2|", "D|R1|", 3, "rail_reference"),
        ("D|R1|", "D||", 2, "rail_reference"),
        ("|capture|123", "||123", 2, "kind"),
        ("|B1", "|B1|more", 3, "line"),
        ("D|R2", "X|R2", 3, "line"),
        ("R3", "R" * 257, 4, "rail_reference"),
        ("H|card", "H|", 1, "rail"),
        ("T|3", "T|2", 5, "count"),
        ("123.40", "123.41", 5, "total"),
        ("JPY=700\n", "JPY=700\nD|R4||capture|1|0|JPY|2026-11-23|\n", 6, "line"),
    ],
)
def test_every_fault_is_found_in_its_row(old: str, new: str, line: int, field: str) -> None:
    assert old in PIPE
    assert (line, field) in findings(PIPE.replace(old, new, 1))


@pytest.mark.parametrize("lines", range(5))
def test_a_cut_file_is_not_sound(lines: int) -> None:
    for form in Format:
        whole = write(form, "card", DAY, ITEMS).decode().splitlines(keepends=True)
        assert not read(form, "".join(whole[:lines]).encode()).sound


def test_rows_are_counted_before_they_are_understood() -> None:
    """A wrong row does not make the trailer wrong too."""
    assert findings(PIPE.replace("123.45", "?")) == [(2, "amount")]


def test_findings_have_an_end() -> None:
    found = read(Format.PIPE, b"H|card|2026-11-23\n" + b"?\n" * 5_000)
    assert len(found.findings) == 1_001
    assert "not read" in found.findings[-1].words


def test_bytes_that_are_no_text() -> None:
    assert "byte 3 is not UTF-8" in read(Format.CSV, b"abc\xff").findings[0].words


@pytest.mark.parametrize("text", ["a|b", "a\nb", "=1+1", "a\u2028b", "x" * 257])
def test_what_the_format_cannot_carry(text: str) -> None:
    with pytest.raises(ValueError, match="our_reference"):
        write(Format.PIPE, "card", DAY, [RailItem("R", text, "capture", 1, "CNY", DAY)])


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(Format))
def test_no_file_raises(content: bytes, form: Format) -> None:
    found = read(form, content)
    assert not found.sound
    assert len(found.digest) == 64


@given(st.integers(0, len(PIPE.encode()) - 1), st.integers(0, 255))
def test_a_changed_byte_of_an_amount_is_seen(at: int, to: int) -> None:
    """Whatever byte changes: the sums of a sound file are those that it was written with, or a finding says so."""
    content = bytearray(PIPE.encode())
    content[at] = to
    found = read(Format.PIPE, bytes(content))
    if found.sound:
        assert sum(item.amount_minor for item in found.items) == 12_340 + 700
        assert len(found.items) == 3
