import gzip
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyiso20022")

from backoffice.payments.iso20022 import initiation
from backoffice.payments.iso20022.initiation import Code, File, iban_is_sound, read
from tests.backoffice.payments.messages import pain001

SAMPLES = Path(os.environ.get("TONGBAO_SHARED_DATA", "data")) / "iso20022_samples"


def changed(old: str, new: str, rows: int = 3, **more: object) -> File:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return read(pain001(rows, change=change, **more))  # type: ignore[arg-type]


def codes(file: File) -> list[tuple[Code, ...]]:
    assert not file.reasons, file.reasons
    return [tuple(reason.code for reason in row.reasons) for row in file.rows]


@pytest.mark.parametrize("version", [3, 8, 9, 12])
def test_a_sound_file(version: int) -> None:
    file = read(pain001(3, version))
    assert (file.message_id, file.initiating_party, file.reasons) == ("M-1", "郑州示例有限公司", ())
    assert len(file.accepted) == 3
    row = file.rows[1]
    assert (row.batch_id, row.instruction_id, row.end_to_end_id) == ("B-1", "I-2", "E-2")
    made = row.instruction
    assert made is not None
    assert (made.amount_minor, made.currency, made.day) == (2050, "CNY", date(2026, 11, 24))
    assert (made.debtor.account, made.debtor.bank.bic) == ("6217000000000001", "TOBACNBJ")
    assert (made.creditor.name, made.creditor.account) == ("收款人2", "6228000000000002")
    assert (made.creditor.bank.member, made.remittance) == ("102491002035", "货款 2")


@pytest.mark.parametrize(
    ("old", "new", "code", "field"),
    [
        ("<NbOfTxs>3", "<NbOfTxs>4", Code.COUNT, "GrpHdr/NbOfTxs"),
        ("<CtrlSum>61.50", "<CtrlSum>61.51", Code.CONTROL_SUM, "GrpHdr/CtrlSum"),
        ("<PmtMtd>", "<NbOfTxs>2</NbOfTxs><PmtMtd>", Code.FILE, "Document"),  # not in its place
        ("</PmtMtd>", "</PmtMtd><NbOfTxs>2</NbOfTxs>", Code.COUNT, "PmtInf[1]/NbOfTxs"),
        ("</PmtMtd>", "</PmtMtd><CtrlSum>1</CtrlSum>", Code.CONTROL_SUM, "PmtInf[1]/CtrlSum"),
        ("<MsgId>M-1</MsgId>", "", Code.FILE, "Document/CstmrCdtTrfInitn/GrpHdr"),
        ("<?xml", "<!DOCTYPE x><?xml", Code.FILE, "file"),
        ("pain.001.001.09", "pain.001.001.77", Code.FILE, "file"),
    ],
)
def test_what_refuses_the_whole_file(old: str, new: str, code: Code, field: str) -> None:
    file = changed(old, new)
    assert (file.accepted, file.reasons[0].code) == ((), code)
    assert file.reasons[0].field.startswith(field)


def test_another_message_is_no_payment_file() -> None:
    assert read(b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"/>').reasons[0].code is Code.FILE


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"CNY">20.50', '"CNY">0.00', Code.ZERO),
        ('"CNY">20.50', '"CNY">20.505', Code.AMOUNT),
        ('"CNY">20.50', '"CHF">20.50', Code.CURRENCY),
        ('"CNY">20.50', '"JPY">20.50', Code.AMOUNT),
        ('"CNY">20.50', '"CNY">99999999999999999.99', Code.CONTENT),
        ('"CNY">20.50', '"CNY">twenty', Code.CONTENT),
        ("<Nm>收款人2</Nm>", "", Code.CONTENT),
        ("<Cdtr><Nm>收款人2</Nm></Cdtr>", "", Code.CONTENT),
        (
            "<Id><Othr><Id>6228000000000002</Id></Othr></Id>",
            "<Id><IBAN>CH9300762011623852958</IBAN></Id>",
            Code.ACCOUNT,
        ),
        ("<InstrId>I-2<", "<InstrId>I-1<", Code.INSTRUCTION_TWICE),
        ("6228000000000002", "1" * 35, Code.CONTENT),
        ("<EndToEndId>E-2</EndToEndId>", "", Code.CONTENT),
    ],
)
def test_one_wrong_row_stops_no_other(old: str, new: str, code: Code) -> None:
    def without_sum(text: str) -> str:
        assert old in text
        return text.replace("<CtrlSum>61.50</CtrlSum>", "").replace(old, new, 1)

    assert codes(read(pain001(3, change=without_sum))) == [(), (code,), ()]


def test_an_iban_with_right_digits_is_taken() -> None:
    number = "CH9300762011623852957"
    file = changed("<Id><Othr><Id>6228000000000002</Id></Othr></Id>", f"<Id><IBAN>{number}</IBAN></Id>")
    instruction = file.rows[1].instruction
    assert instruction is not None
    assert (instruction.creditor.account, instruction.creditor.iban) == (number, True)


@pytest.mark.parametrize(
    ("iban", "sound"),
    [("GB82WEST12345698765432", True), ("GB28WEST12345698765432", False), ("DE89370400440532013000", True)],
)
def test_check_digits(iban: str, sound: bool) -> None:
    assert iban_is_sound(iban) is sound


def test_the_same_payment_twice() -> None:
    def same(text: str) -> str:
        row = text[text.index("<CdtTrfTxInf>") : text.index("</CdtTrfTxInf>") + len("</CdtTrfTxInf>")]
        again = row.replace("<InstrId>I-1</InstrId>", "")
        return (
            text.replace("<NbOfTxs>1", "<NbOfTxs>2")
            .replace("10.50</CtrlSum>", "21.00</CtrlSum>")
            .replace(row, row + again)
        )

    assert codes(read(pain001(1, change=same))) == [(), (Code.DUPLICATE,)]


def test_a_check_is_no_transfer() -> None:
    assert codes(changed(">TRF<", ">CHK<")) == [(Code.OTHER,)] * 3


def test_an_unreadable_amount_does_not_make_the_sum_wrong_too() -> None:
    assert codes(changed('"CNY">20.50', '"CNY">?')) == [(), (Code.CONTENT,), ()]


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initiation, "ROWS_MAX", 2)
    assert "3 payments are more than 2" in read(pain001(3)).reasons[0].words


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(pain001(2)) - 1), st.integers(0, 255), st.integers(0, 3))
def test_no_change_of_a_byte_raises_or_changes_money_unseen(at: int, to: int, drop: int) -> None:
    """Whatever happens to the bytes: either something is said, or amounts and number of payments are as sent."""
    content = bytearray(pain001(2))
    content[at : at + drop] = bytes([to])
    file = read(bytes(content))
    if len(file.accepted) == 2:
        sums = [row.instruction.amount_minor for row in file.accepted if row.instruction]
        assert sum(sums) == 3100 or b"<CtrlSum>" not in content


@pytest.mark.data
@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the ISO 20022 samples")
@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("gistfile1", 3, ""),
        ("musterfile_pain.001_Nov2020", 0, "7, but there are 8"),  # the bank's own sample counts wrongly
        ("sepa_payment_naujas_1", 1, "LT007180000000000000 has wrong check digits"),
        ("invalid_pain_v11", 0, "namespace '' is none"),
    ],
)
def test_files_of_banks(name: str, rows: int, words: str) -> None:
    with gzip.open(SAMPLES / "bank_examples" / f"{name}.xml.gz") as content:
        file = read(content.read())
    assert len(file.rows) == rows
    reasons = [*file.reasons, *(reason for row in file.rows for reason in row.reasons)]
    assert any(words in reason.words for reason in reasons) if words else not reasons
