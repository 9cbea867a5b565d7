"""Statements: lines, balances after each, and messages that prove themselves."""

import pytest

from backoffice.payments import due, rails_api
from backoffice.payments.iso20022 import statement as messages
from backoffice.payments.service import Order, rail_event
from backoffice.payments.states import Event, Kind
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import PaperRail, account, pay, settled

DAYS = "from=2026-01-01&to=2026-12-31"


async def test_a_statement_tells_lines_and_balances(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await bank.add("teller", "teller")
    monkeypatch.setitem(rails_api.RAILS, "paper", PaperRail())
    a, b = await account(bank, 10_000), await account(bank)
    sides = {"from_account": a["account_id"], "to_account": b["account_id"]}
    moved = await pay(bank, Order("transfer", "online", 1_000, fee_minor=5, purpose="房租", **sides))
    held = Order("card", "paper", 300, from_account=a["account_id"], rail="paper", rail_reference="R", mode="held")
    row = await pay(bank, held)
    async with bank.transaction() as context:
        await rail_event(context, row, Event("c", Kind.CAPTURE, 250))
    await settled(bank, row["number"])
    await pay(bank, Order("withdrawal", "counter", 99_000, from_account=a["account_id"]))
    answer = await bank.ask("teller", "GET", f"/accounts/{a['number']}/statement?{DAYS}")
    told = answer.json()
    assert [line["amount"]["amount"] for line in told["lines"]] == ["100.00", "-10.00", "-0.05", "-2.50"]
    assert [line["balance"]["amount"] for line in told["lines"]] == ["100.00", "90.00", "89.95", "87.45"]
    assert (told["opening"]["amount"], told["closing"]["amount"]) == ("0.00", "87.45")
    assert (told["lines"][1]["payment"], told["lines"][1]["purpose"]) == (moved["number"], "房租")
    assert told["lines"][0]["other"] == "库存现金"
    assert b["number"] not in answer.text
    path = f"/accounts/{a['number']}/statement.xml?{DAYS}"
    xml = await bank.ask("teller", "GET", path)
    assert b["number"] not in xml.text
    assert (await bank.ask("teller", "GET", f"{path}&unmask=true")).status_code == 403
    await bank.add("rm", "relationship_manager")
    assert b["number"] in (await bank.ask("rm", "GET", f"{path}&unmask=true")).text
    assert xml.headers["content-type"] == "application/xml"
    (read,) = messages.read(xml.content)
    assert (read.opening_minor, read.closing_minor, read.fault()) == (0, 8_745, "")
    assert [entry.amount_minor for entry in read.entries] == [10_000, -1_000, -5, -250]
    assert read.entries[1].transaction_id == moved["number"]
    notified = await bank.ask("teller", "GET", f"/accounts/{b['number']}/notifications.xml?{DAYS}")
    (read,) = messages.read(notified.content)
    assert [entry.amount_minor for entry in read.entries] == [1_000]
    none = (await bank.ask("teller", "GET", f"/accounts/{a['number']}/statement?from=2020-01-01&to=2020-01-31")).json()
    assert (none["lines"], none["closing"]["amount"]) == ([], "0.00")
    later = (await bank.ask("teller", "GET", f"/accounts/{a['number']}/statement?from=2030-01-01&to=2030-01-02")).json()
    assert (later["lines"], later["opening"]["amount"]) == ([], "87.45")


@pytest.mark.parametrize(
    ("days", "field"),
    [("from=2026-02-01&to=2026-01-31", "to"), ("from=2024-01-01&to=2026-01-31", "to"), ("from=2026-02-01", "to")],
)
async def test_days_that_make_no_statement(bank: Office, days: str, field: str) -> None:
    await bank.add("teller", "teller")
    a = await account(bank)
    answer = await bank.ask("teller", "GET", f"/accounts/{a['number']}/statement?{days}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_what_waits_for_the_rail_to_open_and_holds_that_run_out(
    bank: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    rail = PaperRail()
    monkeypatch.setitem(rails_api.RAILS, "paper", rail)
    a = await account(bank, 10_000)
    order = Order("transfer", "online", 600, from_account=a["account_id"], rail="paper", mode="held")
    ours = await pay(bank, order)
    card = Order("card", "paper", 300, from_account=a["account_id"], rail="paper", rail_reference="R", mode="held")
    theirs = await pay(bank, card)
    rail.asked.clear()
    async with bank.transaction() as context:
        assert await due.take(context) == 0
    bank.pass_by(days=8)
    async with bank.transaction() as context:
        assert await due.take(context) == 2
    assert rail.asked == [("void", ours["number"])]
    assert (await settled(bank, ours["number"]))["state"] == "authorised", "the rail may have carried it out"
    assert (await settled(bank, theirs["number"]))["state"] == "expired"
    async with bank.transaction() as context:
        assert await due.take(context) == 0
