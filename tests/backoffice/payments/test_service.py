"""Payments against a real server: what is posted, what is declined and why, and what rails may tell."""

import asyncio

import pytest
from sqlalchemy import insert, select, update

from backoffice.accounts import service as accounts
from backoffice.accounts.tables import accounts as account_rows
from backoffice.cases.tables import cases
from backoffice.ledger.chart import own_account
from backoffice.payments import rails_api, service
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.outside import party_of
from backoffice.payments.service import Order
from backoffice.payments.states import Event, Kind, Outcome
from backoffice.payments.tables import payment_use
from backoffice.privacy.keyring import KeyFaultError
from backoffice.problems import Code, Problem
from backoffice.tables import parameters
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import AT, PaperRail, account, balance, pay, settled

OUTSIDE = Party("收款人", "6228000012345678901", bank=Bank(member="102491002035"))


@pytest.fixture
def rail(monkeypatch: pytest.MonkeyPatch) -> PaperRail:
    made = PaperRail()
    monkeypatch.setitem(rails_api.RAILS, "paper", made)
    return made


async def rule(office: Office, name: str, value: object, scope: str = "") -> None:
    async with office.transaction() as context:
        await context.connection.execute(
            insert(parameters).values(
                name=f"payment.{name}", scope=scope, value=value, valid_from=AT.date(), source="test"
            )
        )


async def tell(office: Office, row: dict[str, object], event: Event) -> tuple[Outcome, str]:
    async with office.transaction() as context:
        said = await service.rail_event(context, row, event)
    await settled(office, str(row["number"]))
    return said


async def test_money_comes_moves_and_goes(bank: Office) -> None:
    a, b = await account(bank, 100_000), await account(bank)
    moved = await pay(
        bank, Order("transfer", "online", 30_000, from_account=a["account_id"], to_account=b["account_id"])
    )
    assert (moved["state"], moved["captured_minor"], moved["operation"]) == ("captured", 30_000, "transfer")
    out = await pay(bank, Order("withdrawal", "counter", 20_000, from_account=b["account_id"]))
    assert out["state"] == "captured"
    assert (await balance(bank, a), await balance(bank, b)) == (70_000, 10_000)
    cash = own_account(1001)
    assert (await bank.gateway.balances([cash]))[cash].balance == -80_000  # an asset: on the debit side


async def test_too_little_money_is_declined_with_the_engines_reason(bank: Office) -> None:
    a = await account(bank, 1_000)
    row = await pay(bank, Order("withdrawal", "counter", 1_001, from_account=a["account_id"]))
    assert (row["state"], row["reason"], row["captured_minor"]) == ("declined", "exceeds_credits", 0)
    assert await balance(bank, a) == 1_000


async def test_the_fee_goes_with_the_payment_or_neither_does(bank: Office) -> None:
    await rule(bank, "fee_fixed", 150, "counter/withdrawal")
    a = await account(bank, 1_000)
    short = await pay(bank, Order("withdrawal", "counter", 900, from_account=a["account_id"]))
    assert (short["state"], short["fee_minor"]) == ("declined", 150)
    good = await pay(bank, Order("withdrawal", "counter", 850, from_account=a["account_id"]))
    assert good["state"] == "captured"
    assert await balance(bank, a) == 0
    income = own_account(6021)
    assert (await bank.gateway.balances([income]))[income].balance == 150


async def test_a_reference_is_one_payment(bank: Office) -> None:
    a = await account(bank, 1_000)
    order = Order("withdrawal", "api", 100, from_account=a["account_id"], reference="R-1")
    first, second = await asyncio.gather(pay(bank, order), pay(bank, order))
    assert first["number"] == second["number"]
    assert await balance(bank, a) == 900
    other = Order("withdrawal", "api", 101, from_account=a["account_id"], reference="R-1")
    with pytest.raises(Problem) as caught:
        await pay(bank, other)
    assert caught.value.code is Code.EXISTS


async def test_limits_hold_however_many_come_at_once(bank: Office) -> None:
    await rule(bank, "limit_day", 500, "api")
    await rule(bank, "limit_count", 7)
    a = await account(bank, 10_000)
    rows = await asyncio.gather(
        *(pay(bank, Order("withdrawal", "api", 100, from_account=a["account_id"])) for _ in range(12))
    )
    assert sorted(row["state"] for row in rows) == ["captured"] * 5 + ["declined"] * 7
    assert {row["reason"] for row in rows if row["state"] == "declined"} == {"limit_day"}
    assert await balance(bank, a) == 9_500
    more = await pay(bank, Order("withdrawal", "counter", 1, from_account=a["account_id"]))
    assert more["state"] == "captured"
    await pay(bank, Order("withdrawal", "counter", 1, from_account=a["account_id"]))
    last = await pay(bank, Order("withdrawal", "counter", 1, from_account=a["account_id"]))
    assert (last["state"], last["detail"]["limits"][0]["left"]) == ("declined", 0)


async def test_what_is_declined_gives_its_share_back(bank: Office) -> None:
    await rule(bank, "limit_day", 500)
    a = await account(bank, 400)
    assert (await pay(bank, Order("withdrawal", "api", 450, from_account=a["account_id"])))["state"] == "declined"
    assert (await pay(bank, Order("withdrawal", "api", 400, from_account=a["account_id"])))["state"] == "captured"
    async with bank.transaction() as context:
        used = (await context.connection.execute(select(payment_use).where(payment_use.c.channel == "api"))).one()
    assert (used.amount_minor, used.count) == (400, 1)


@pytest.mark.parametrize(("side", "status"), [("from_account", "frozen"), ("from_account", "stopped")])
async def test_an_account_that_may_not_pay(bank: Office, side: str, status: str) -> None:
    a = await account(bank, 1_000)
    async with bank.transaction() as context:
        await context.connection.execute(update(account_rows).values(status=status))
    row = await pay(bank, Order("withdrawal", "counter", 1, from_account=a["account_id"]))
    assert (row["state"], row["reason"]) == ("declined", f"payer_account_{status}")


async def test_over_a_rail_held_then_captured(bank: Office, rail: PaperRail) -> None:
    a = await account(bank, 1_000)
    order = Order(
        "transfer", "online", 600, from_account=a["account_id"], outside=OUTSIDE, rail="paper", mode="held", fee_minor=5
    )
    row = await pay(bank, order)
    assert (row["state"], rail.asked) == ("authorised", [("authorise", row["number"])])
    view = (await bank.gateway.balances([a["account_id"]]))[a["account_id"]]
    assert (view.debits_pending, view.debits_posted) == (605, 0)
    assert await tell(bank, row, Event("r-1", Kind.CAPTURE, 600)) == (Outcome.APPLIED, "")
    assert await tell(bank, row, Event("r-1", Kind.CAPTURE, 600)) == (Outcome.REPEATED, "")
    assert (await tell(bank, row, Event("r-1", Kind.CAPTURE, 599)))[0] is Outcome.CONFLICT
    assert (await tell(bank, row, Event("r-2", Kind.VOID)))[0] is Outcome.REFUSED
    row = await settled(bank, row["number"])
    assert (row["state"], row["captured_minor"]) == ("captured", 600)
    assert await balance(bank, a) == 395
    assert await tell(bank, row, Event("r-3", Kind.REFUND, 200)) == (Outcome.APPLIED, "")
    assert (await settled(bank, row["number"]))["state"] == "partly_refunded"
    assert await balance(bank, a) == 595
    async with bank.transaction() as context:
        found = (await context.connection.execute(select(cases.c.kind, cases.c.subject))).all()
    assert set(found) == {("payment", f"payment:{row['number']}")}
    assert len(found) == 2  # the conflict, and the void that came too late


async def test_a_rail_that_refuses_gives_the_money_back(bank: Office, rail: PaperRail) -> None:
    a = await account(bank, 1_000)
    order = Order("transfer", "online", 600, from_account=a["account_id"], outside=OUTSIDE, rail="paper", mode="held")
    row = await pay(bank, order)
    assert await tell(bank, row, Event("no", Kind.DECLINE)) == (Outcome.APPLIED, "")
    row = await settled(bank, row["number"])
    assert (row["state"], await balance(bank, a)) == ("voided", 1_000)
    assert (await bank.gateway.balances([a["account_id"]]))[a["account_id"]].debits_pending == 0


async def test_money_does_not_go_back_to_a_closed_account(bank: Office, rail: PaperRail) -> None:
    a = await account(bank, 600)
    order = Order("transfer", "online", 600, from_account=a["account_id"], outside=OUTSIDE, rail="paper", mode="held")
    row = await pay(bank, order)
    await tell(bank, row, Event("1", Kind.CAPTURE, 600))
    async with bank.transaction() as context:
        await accounts.close(context, a["number"])
    said, why = await tell(bank, row, Event("2", Kind.REFUND, 600))
    assert (said, "is closed" in why) == (Outcome.REFUSED, True)
    assert (await settled(bank, row["number"]))["state"] == "captured"
    async with bank.transaction() as context:
        assert (await context.connection.execute(select(cases.c.kind))).scalars().all() == ["payment"]


async def test_nobody_asked_for_a_second_person(bank: Office) -> None:
    await rule(bank, "two_persons_from", 500, "api/withdrawal")
    a = await account(bank, 1_000)
    row = await pay(bank, Order("withdrawal", "api", 500, from_account=a["account_id"]))
    assert (row["state"], row["reason"]) == ("declined", "second_person_needed")


async def test_events_that_come_too_early_wait(bank: Office, rail: PaperRail) -> None:
    """The capture and the refund arrive before the hold is settled, in the wrong order."""
    a = await account(bank, 1_000)
    order = Order("card", "paper", 300, from_account=a["account_id"], rail="paper", rail_reference="X1", mode="held")
    async with bank.transaction() as context:
        row = await service.create(context, order)
        assert (await service.rail_event(context, row, Event("c", Kind.REFUND, 300)))[0] is Outcome.EARLY
        assert (await service.rail_event(context, row, Event("b", Kind.CAPTURE, 300)))[0] is Outcome.EARLY
    row = await settled(bank, row["number"])
    assert (row["state"], await balance(bank, a)) == ("refunded", 1_000)


async def test_money_that_is_asked_for(bank: Office, rail: PaperRail) -> None:
    """We collect for a customer: the other side holds first."""
    a = await account(bank)
    order = Order("wallet", "api", 500, to_account=a["account_id"], rail="paper", mode="asked")
    row = await pay(bank, order)
    assert (row["state"], rail.asked) == ("created", [("authorise", row["number"])])
    await tell(bank, row, Event("1", Kind.AUTHORISE, 500))
    await tell(bank, row, Event("2", Kind.CAPTURE, 450))
    row = await settled(bank, row["number"])
    assert (row["state"], row["captured_minor"], await balance(bank, a)) == ("captured", 450, 450)
    refused = await pay(bank, Order("wallet", "api", 500, to_account=a["account_id"], rail="paper", mode="asked"))
    await tell(bank, refused, Event("1", Kind.DECLINE))
    assert (await settled(bank, refused["number"]))["state"] == "declined"


async def test_the_cut_off_is_the_next_business_day(bank: Office, rail: PaperRail) -> None:
    """09:00 UTC is 17:00 in China; the rail closed at 16:30 on a Monday."""
    for name, value in (("opens", "08:30"), ("closes", "16:30"), ("every_day", 0)):
        await rule(bank, name, value, "paper")
    a = await account(bank, 1_000)
    order = Order("transfer", "online", 600, from_account=a["account_id"], outside=OUTSIDE, rail="paper", mode="held")
    row = await pay(bank, order)
    assert (row["state"], str(row["business_date"]), rail.asked) == ("authorised", "2026-11-24", [])
    assert str(row["send_at"]) == "2026-11-24 00:30:00+00:00"


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (Order("deposit", "counter", 0, to_account=1), "amount"),
        (Order("deposit", "counter", 1), "from_account"),
        (Order("gift", "counter", 1, to_account=1), "kind"),
        (Order("transfer", "counter", 1, from_account=1, to_account=1), "to_account"),
        (Order("deposit", "counter", 1, to_account=999), "to_account"),
        (Order("transfer", "counter", 1, from_account=1, mode="held"), "rail"),
        (Order("deposit", "counter", 1, "XXX", to_account=1), "currency"),
    ],
)
async def test_what_cannot_be_a_payment_names_the_field(office: Office, order: Order, field: str) -> None:
    async with office.transaction() as context:
        with pytest.raises(Problem) as caught:
            await service.create(context, order)
    assert [error.field for error in caught.value.errors] == [field]


async def test_the_other_side_is_sealed_for_its_row(bank: Office, rail: PaperRail) -> None:
    """Nothing of name and account stands in the table in clear, and a party moved to another row is noticed."""
    a = await account(bank, 1_000)
    rows = [
        await pay(
            bank,
            Order("transfer", "online", 5, from_account=a["account_id"], outside=OUTSIDE, rail="paper", mode="held"),
        )
        for _ in range(2)
    ]
    async with bank.transaction() as context:
        assert await party_of(context, rows[0]) == OUTSIDE
        written = str(rows[0]["outside"])
        assert OUTSIDE.account not in written
        assert OUTSIDE.name not in written
        with pytest.raises(KeyFaultError, match="another place"):
            await party_of(context, rows[0] | {"outside": rows[1]["outside"]})
