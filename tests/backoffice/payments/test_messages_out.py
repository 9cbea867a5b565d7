"""pacs.008, pain.002, camt.053 and camt.054: what we write is its schema's, and says what we mean."""

import gzip
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyiso20022")

from backoffice.payments.iso20022 import interbank, statement, status
from backoffice.payments.iso20022.guard import Node, parse
from backoffice.payments.iso20022.initiation import read as read_file
from backoffice.payments.iso20022.interbank import Transfer
from backoffice.payments.iso20022.schema import MessageUnknownError, check
from backoffice.payments.iso20022.statement import Entry, Statement, rail_items
from backoffice.payments.iso20022.status import Status, Verdict, group_status
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.reconcile import LedgerItem, reconcile
from tests.backoffice.payments.messages import pain001

SAMPLES = Path(os.environ.get("TONGBAO_SHARED_DATA", "data")) / "iso20022_samples"
NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
DAY = date(2026, 11, 23)
OURS = Bank(bic="TOBACNBJ", name="通宝示例银行")
OTHER = Party("收款人", "6228000000000002", bank=Bank(member="102491002035"))
PAYER = Party("郑州示例有限公司", "6217000000000001")


def sent(*transfers: Transfer, **more: str) -> Node:
    content = interbank.write("OUT-1", NOW, DAY, transfers, currency="CNY", sender=OURS, **more)
    root = parse(content)
    assert check(root) == []
    return root


def transfer(amount: int = 12_345, **more: object) -> Transfer:
    made = Transfer("T-1", uuid4(), amount, PAYER, OTHER, "E-1", "I-1", "货款", "SUPP")
    return replace(made, **more)  # type: ignore[arg-type]


# --- pacs.008 -------------------------------------------------------------------------------------


def test_payments_to_other_banks() -> None:
    one, two = transfer(), transfer(55, transaction_id="T-2", remittance="", purpose="", instruction_id="")
    root = sent(one, two)
    body = root.find("FIToFICstmrCdtTrf")
    assert body is not None
    paths = ("NbOfTxs", "CtrlSum", "TtlIntrBkSttlmAmt", "SttlmInf/SttlmMtd")
    assert [body.value(f"GrpHdr/{path}") for path in paths] == [
        "2", "124.00", "124.00", "INDA",
    ]  # fmt: skip
    first, second = body.all("CdtTrfTxInf")
    assert first.value("IntrBkSttlmAmt") == "123.45"
    assert first.value("CdtrAgt/FinInstnId/ClrSysMmbId/MmbId") == "102491002035"
    assert first.value("PmtId/UETR") == str(one.uetr)
    assert (second.find("RmtInf"), second.find("Purp"), second.find("PmtId/InstrId")) == (None, None, None)


def test_a_clearing_system_settles() -> None:
    assert sent(transfer(), clearing_system="CNA").value("FIToFICstmrCdtTrf/GrpHdr/SttlmInf/ClrSys/Cd") == "CNA"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount_minor": 0}, "not above zero"),
        ({"uetr": UUID("01890000-0000-7000-8000-000000000000")}, "UETR"),  # a UUID of version 7
        ({"creditor": Party("x", "1")}, "bank"),
        ({"transaction_id": "T" * 36}, "TxId"),
        ({"charges": "OUR"}, "ChrgBr"),
        ({"remittance": "x\x00"}, "invalid"),
    ],
)
def test_what_cannot_be_sent(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sent(transfer(**change))


def test_a_message_needs_a_payment() -> None:
    with pytest.raises(ValueError, match="transfers"):
        sent()


@settings(max_examples=30, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=400)
)
def test_any_words_of_a_customer_arrive(words: str) -> None:
    """Markup in a text stays a text, and long texts are cut into pieces that add up."""
    remittance = sent(transfer(remittance=words)).find("FIToFICstmrCdtTrf/CdtTrfTxInf/RmtInf")
    assert remittance is not None
    assert "".join(node.text for node in remittance.children) == words


# --- pain.002 -------------------------------------------------------------------------------------


def test_a_report_row_by_row() -> None:
    def broken(text: str) -> str:
        return text.replace("<Nm>收款人2</Nm>", "")

    file = read_file(pain001(3, change=broken))
    content = status.write(
        "S-1", NOW, file, {0: Verdict(Status.SETTLED), 2: Verdict(Status.REJECTED, "AM04", "余额不足" * 40)}
    )
    root = parse(content)
    body = root.find("CstmrPmtStsRpt")
    assert check(root) == []
    assert body is not None
    assert body.value("OrgnlGrpInfAndSts/GrpSts") == "PART"
    assert body.value("OrgnlGrpInfAndSts/OrgnlMsgId") == "M-1"
    batch = body.find("OrgnlPmtInfAndSts")
    assert batch is not None
    told = [
        (row.value("OrgnlEndToEndId"), row.value("TxSts"), row.value("StsRsnInf/Rsn/Cd"))
        for row in batch.all("TxInfAndSts")
    ]
    assert told == [("E-1", "ACSC", ""), ("E-2", "RJCT", "CH16"), ("E-3", "RJCT", "AM04")]


def test_a_refused_file() -> None:
    file = read_file(pain001(2, total="1.00"))
    root = parse(status.write("S-1", NOW, file, {}))
    body = root.find("CstmrPmtStsRpt")
    assert check(root) == []
    assert body is not None
    assert (body.value("OrgnlGrpInfAndSts/GrpSts"), body.value("OrgnlGrpInfAndSts/StsRsnInf/Rsn/Cd")) == (
        "RJCT",
        "AM10",
    )
    assert body.find("OrgnlPmtInfAndSts") is None
    assert check(parse(status.write("S-2", NOW, read_file(b"nothing"), {}))) == []


def test_no_row_is_passed_over_in_silence() -> None:
    with pytest.raises(ValueError, match="row 2, E-2, has none"):
        status.write("S-1", NOW, read_file(pain001(2)), {0: Verdict(Status.SETTLED)})


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({Status.SETTLED: 2, Status.REJECTED: 0}, "ACSC"),
        ({Status.REJECTED: 2}, "RJCT"),
        ({Status.SETTLED: 1, Status.REJECTED: 1}, "PART"),
        ({Status.SETTLED: 1, Status.PENDING: 1}, "PDNG"),
        ({Status.SETTLED: 1, Status.ACCEPTED: 1}, "ACCP"),
    ],
)
def test_one_status_for_all(counts: dict[Status, int], told: str) -> None:
    assert group_status(counts) == told


# --- camt.053 and camt.054 ------------------------------------------------------------------------

ENTRIES = (
    Entry("R1", 10_000, DAY, DAY, "E-1", "T-1", Party("付款人", "62170000"), "货款", ("PMNT", "RCDT", "DMCT")),
    Entry("R2", -2_500, DAY, date(2026, 11, 24), "", "T-2", OTHER, "", ("PMNT", "ICDT", "DMCT"), reversal=True),
)
STATEMENT = Statement("ST-1", PAYER, "CNY", ENTRIES, 500, 8_000, DAY, DAY)


def plain(entry: Entry) -> Entry:
    """Without what a statement does not tell: the other side's bank."""
    return replace(entry, other=replace(entry.other, bank=Bank()))


def test_a_statement_comes_back_as_it_was() -> None:
    content = statement.write_statements("M-1", NOW, OURS, [STATEMENT])
    [found] = statement.read(content)
    assert found.entries == tuple(plain(entry) for entry in ENTRIES)
    assert (found.id, found.currency, found.opening_minor, found.closing_minor) == ("ST-1", "CNY", 500, 8_000)
    assert found.owner == PAYER
    assert found.fault() == ""


def test_an_overdrawn_account_and_an_empty_day() -> None:
    empty = Statement("ST-2", PAYER, "CNY", (), -77, -77, DAY, DAY)
    [found] = statement.read(statement.write_statements("M", NOW, OURS, [empty]))
    assert (found.opening_minor, found.closing_minor, found.entries) == (-77, -77, ())


def test_a_statement_must_prove_itself() -> None:
    wrong = replace(STATEMENT, closing_minor=8_001)
    assert "entries lead to 8000, the closing balance is 8001" in wrong.fault()
    with pytest.raises(ValueError, match="entries lead to 8000"):
        statement.write_statements("M", NOW, OURS, [wrong])
    with pytest.raises(ValueError, match="balances"):
        statement.write_statements("M", NOW, OURS, [replace(STATEMENT, opening_minor=None)])


def test_notifications_have_no_balances() -> None:
    [found] = statement.read(statement.write_notifications("M", NOW, OURS, [STATEMENT]))
    assert (len(found.entries), found.opening_minor, found.fault()) == (2, None, "")


def test_a_correspondents_statement_against_our_books() -> None:
    rail = rail_items(statement.read(statement.write_statements("M", NOW, OURS, [STATEMENT]))[0])
    ours = [LedgerItem("l1", "T-1", 10_000, "CNY", DAY), LedgerItem("l2", "T-2", -2_500, "CNY", DAY)]
    assert reconcile(rail, ours).agrees
    assert [each.amount_minor for each in reconcile(rail, ours[:1]).differences] == [-2_500]


def test_what_is_no_statement() -> None:
    with pytest.raises(MessageUnknownError, match="is not a statement"):
        statement.read(pain001(1))


amounts = st.integers(-(10**12), 10**12).filter(bool)


@settings(max_examples=30, deadline=None)
@given(st.integers(-(10**12), 10**12), st.lists(amounts, max_size=5), st.sampled_from(["CNY", "USD", "JPY"]))
def test_every_statement_that_adds_up_comes_back(opening: int, changes: list[int], currency: str) -> None:
    entries = tuple(Entry(f"R{n}", minor, DAY, DAY) for n, minor in enumerate(changes))
    made = Statement("S", PAYER, currency, entries, opening, opening + sum(changes), DAY, DAY)
    [found] = statement.read(statement.write_statements("M", NOW, OURS, [made]))
    assert [entry.amount_minor for entry in found.entries] == changes
    assert (found.opening_minor, found.closing_minor, found.currency) == (opening, opening + sum(changes), currency)


@pytest.mark.data
@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the ISO 20022 samples")
def test_statements_of_banks() -> None:
    def read(name: str) -> list[Statement]:
        with gzip.open(SAMPLES / f"{name}.xml.gz") as file:
            return statement.read(file.read())

    [finnish] = read("bank_examples/FI_camt_053_sample")
    assert (len(finnish.entries), finnish.opening_minor, finnish.closing_minor) == (10, 1_000_000, 2_364_483)
    assert finnish.fault() == ""  # ten real entries lead from one balance to the other
    first, second = read("camt_statements/camt053.v2.multi.statement")
    assert (first.fault(), second.fault(), first.closing_minor == second.opening_minor) == ("", "", True)
    [odd] = read("camt_statements/camt053.v2.five.decimals")
    assert "entries lead to 2700, the closing balance is 2705" in odd.fault()
    with pytest.raises(ValueError, match="CHF is none of"):
        read("bank_examples/camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366")
    with pytest.raises(ValueError, match="not in EUR, the account's currency"):
        read("camt_statements/camt053.v4")
