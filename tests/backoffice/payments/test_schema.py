import gzip
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("pyiso20022")

from backoffice.payments.iso20022 import schema
from backoffice.payments.iso20022.guard import parse
from backoffice.payments.iso20022.schema import MessageUnknownError, build, check, open_document
from tests.backoffice.payments.messages import pain001

SAMPLES = Path(os.environ.get("TONGBAO_SHARED_DATA", "data")) / "iso20022_samples"


def faults(old: str, new: str, version: int = 9) -> list[str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return [
        f"{finding.path.rpartition('Document/CstmrCdtTrfInitn/')[2]}: {finding.words}"
        for finding in check(parse(pain001(1, version, change)))
    ]


@pytest.mark.parametrize("version", range(3, 13))
def test_a_file_of_every_version_is_sound(version: int) -> None:
    assert check(parse(pain001(2, version))) == []


ROW = "PmtInf[1]/CdtTrfTxInf[1]"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<MsgId>M-1</MsgId>", "", "GrpHdr: MsgId is missing"),
        ("<MsgId>M-1</MsgId>", "<MsgId/>", "GrpHdr/MsgId: is empty"),
        ("M-1", "M" * 36, f"GrpHdr/MsgId: {'M' * 36!r} is longer than 35 characters"),
        ("2026-11-23T09:00:00+08:00", "2026-11-23", "GrpHdr/CreDtTm: '2026-11-23' is no datetime"),
        ("2026-11-24", "2026-02-30", "PmtInf[1]/ReqdExctnDt/Dt: '2026-02-30' is no date"),
        (">TRF<", ">XXX<", "PmtInf[1]/PmtMtd: 'XXX' is not in its code list"),
        ("<Dt>2026-11-24</Dt>", "", "PmtInf[1]/ReqdExctnDt: needs exactly one of Dt, DtTm"),
        (
            "<Dt>2026-11-24</Dt>",
            "<Dt>2026-11-24</Dt><DtTm>2026-11-24T00:00:00</DtTm>",
            "PmtInf[1]/ReqdExctnDt: needs exactly one of Dt, DtTm",
        ),
        ("TOBACNBJ", "TOBACN", "PmtInf[1]/DbtrAgt/FinInstnId/BICFI: 'TOBACN' does not have the form"),
        (' Ccy="CNY"', "", f"{ROW}/Amt/InstdAmt: attribute Ccy is missing"),
        ('Ccy="CNY"', 'Ccy="CNY" x="1"', f"{ROW}/Amt/InstdAmt: attribute x is unknown"),
        ('Ccy="CNY"', 'Ccy="yuan"', f"{ROW}/Amt/InstdAmt@Ccy: 'yuan' does not have the form"),
        ('"CNY">10.50<', '"CNY">10,50<', f"{ROW}/Amt/InstdAmt: '10,50' is no decimal number"),
        ('"CNY">10.50<', '"CNY">1e3<', f"{ROW}/Amt/InstdAmt: '1e3' is no decimal number"),
        ('"CNY">10.50<', '"CNY">１０<', f"{ROW}/Amt/InstdAmt: '１０' is no decimal number"),
        ('"CNY">10.50<', '"CNY">-10.50<', f"{ROW}/Amt/InstdAmt: '-10.50' is below 0"),
        ('"CNY">10.50<', '"CNY">0.123456<', f"{ROW}/Amt/InstdAmt: '0.123456' has more than 5 decimals"),
        ('"CNY">10.50<', f'"CNY">{"9" * 19}<', f"{ROW}/Amt/InstdAmt: '{'9' * 19}' has more than 18 digits"),
        ("<EndToEndId>E-1</EndToEndId>", "", f"{ROW}/PmtId: EndToEndId is missing"),
        ("<RmtInf>", "<New/><RmtInf>", f"{ROW}/New: is not expected here"),
        ("<RmtInf>", '<RmtInf xmlns="other">', f"{ROW}/RmtInf: is not expected here"),
        ("<RmtInf>", "<RmtInf>text", f"{ROW}/RmtInf: has text, which belongs into its elements"),
        ("<InstrId>I-1</InstrId>", "<InstrId>I-1<b/></InstrId>", f"{ROW}/PmtId/InstrId: has elements or attributes"),
        ("</Cdtr>", "</Cdtr><Cdtr/>", f"{ROW}/Cdtr: may stand 1 times at most"),
    ],
)
def test_every_kind_of_fault(old: str, new: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(old, new)), faults(old, new)


def test_the_order_of_elements_counts() -> None:
    swapped = "<EndToEndId>E-1</EndToEndId><InstrId>I-1</InstrId>"
    assert faults("<InstrId>I-1</InstrId><EndToEndId>E-1</EndToEndId>", swapped) == [
        f"{ROW}/PmtId/InstrId: is not in its place"
    ]


def test_findings_have_an_end() -> None:
    text = pain001(1, change=lambda text: text.replace("<RmtInf>", "<x/>" * 5_000 + "<RmtInf>"))
    assert len(check(parse(text))) == schema.FINDINGS_MAX


def test_a_document_in_an_envelope() -> None:
    inner = pain001(1).decode().partition("?>")[2]
    assert check(open_document(f"<Envelope><Header/><Body>{inner}</Body></Envelope>".encode())) == []
    with pytest.raises(MessageUnknownError, match="holds 2 documents"):
        open_document(f"<Envelope>{inner}{inner}</Envelope>".encode())
    with pytest.raises(MessageUnknownError, match="holds 0 documents"):
        open_document(b"<Envelope/>")


@pytest.mark.parametrize("name", ["pain.001.001.99", "pain.001.001.9", "camt.053.001.08/../x", "seev.001.001.01"])
def test_messages_without_a_schema(name: str) -> None:
    with pytest.raises(MessageUnknownError):
        check(parse(f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{name}"/>'.encode()))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Document/BkToCstmrStmt: GrpHdr is missing"),
        ({"GrpHdr": {"MsgId": "", "CreDtTm": "2026-11-23T01:00:00Z"}, "Stmt": []}, "is empty"),
        ({"GrpHdr": {"MsgId": "M", "Wrong": 1}}, "GrpHdr/Wrong: is not expected here"),
        ({"GrpHdr": {"MsgId": "M", "CreDtTm": "now"}}, "now"),
    ],
)
def test_nothing_unsound_is_built(body: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build("camt.053.001.08", "BkToCstmrStmt", body)


def test_decimals_are_written_as_they_are() -> None:
    head = {"MsgId": "M", "CreDtTm": "2026-11-23T01:00:00Z"}
    balance = {
        "Tp": {"CdOrPrtry": {"Cd": "CLBD"}},
        "Amt": {"": Decimal("0.00"), "@Ccy": "CNY"},
        "CdtDbtInd": "CRDT",
        "Dt": {"Dt": "2026-11-23"},
    }
    statement = {"Id": "S", "Acct": {"Id": {"Othr": {"Id": "1"}}}, "Bal": [balance]}
    assert b">0.00<" in build("camt.053.001.08", "BkToCstmrStmt", {"GrpHdr": head, "Stmt": [statement]})


SOUND = {"camt.052": 10, "camt.053": 15, "camt.054": 18, "pain.001": 5, "pain.002": 6, "pacs.002": 1}
SOUND |= {"pain.008": 1, "pacs.008": 1, "pacs.009": 1, "camt.055": 0}


@pytest.mark.data
@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the ISO 20022 samples")
def test_messages_of_banks() -> None:
    """What banks and libraries publish is sound by our check, apart from what is wrong in it."""
    sound: Counter[str] = Counter()
    wrong = {}
    foreign = []
    for path in sorted(SAMPLES.glob("*/*.xml.gz")):
        with gzip.open(path) as file:
            content = file.read()
        try:
            document = open_document(content)
            findings = check(document)
        except MessageUnknownError:
            foreign.append(path.name)
            continue
        message = schema.message_of(document.namespace)
        sound[message[:8]] += not findings
        if findings:
            wrong[path.name] = findings[0].words[-29:]
    assert wrong == {
        "camt053.v2.wrong.xml.gz": "Stmt is missing",
        "valid_camt_v09.xml.gz": "needs exactly one of Pty, Agt",
        "pacs.002-CDATA-with-header.xml.gz": "is longer than 105 characters",  # a whole message as a text
    }
    assert sum(sound.values()) + len(wrong) + len(foreign) == 70
    assert sound == SOUND
