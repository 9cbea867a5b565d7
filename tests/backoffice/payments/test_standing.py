"""Standing orders: each due date is paid once, whatever happens in between, and failures do what was agreed."""

import asyncio
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select, text

from backoffice import notices
from backoffice.ledger import agreement
from backoffice.payments import rails_api, standing
from backoffice.payments.events import groups_of
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.payments.schedule import Every, Schedule
from backoffice.payments.standing import Terms
from backoffice.payments.tables import payments
from backoffice.products.calendar import Adjust
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import PaperRail, account, balance

MONTHLY = Schedule(Every.MONTH, date(2026, 12, 1), on_day=5, roll=Adjust.FOLLOWING)


async def order(bank: Office, a: Any, b: Any, terms: Terms) -> Any:
    async with bank.transaction() as context:
        return await standing.create(context, a, b, terms)


async def step(bank: Office, day: date) -> int:
    """As the end of day does it: on its business date, and what it makes settles."""
    async with bank.transaction() as context:
        await context.connection.execute(text("UPDATE office.business_date SET day = :day"), {"day": day})
    made = 0
    async for rows in standing.execute(bank.transaction, day):
        made += len(rows)
        groups = [group for row in rows for group in groups_of(row)]
        assert await bank.gateway.settle(groups, 20)
    return made


async def history(bank: Office, row: Any) -> list[tuple[str, int, str]]:
    async with bank.transaction() as context:
        found = await standing.runs_of(context, row["standing_id"])
    return [(str(run["nominal_on"]), run["attempt"], run["state"]) for run in reversed(found)]


async def test_each_due_date_is_paid_once(bank: Office) -> None:
    a, b = await account(bank, 10_000), await account(bank)
    row = await order(bank, a, b, Terms(1_000, MONTHLY, "房租"))
    assert (str(row["next_on"]), str(row["next_due"])) == ("2026-12-05", "2026-12-07")  # the 5th is a Saturday
    assert await step(bank, date(2026, 12, 4)) == 0
    assert await step(bank, date(2026, 12, 7)) == 1
    assert await step(bank, date(2026, 12, 7)) == 0
    assert await balance(bank, b) == 1_000
    assert await step(bank, date(2027, 2, 28)) == 2, "two dates that the end of day has missed"
    assert (await balance(bank, a), await balance(bank, b)) == (7_000, 3_000)
    assert await history(bank, row) == [
        ("2026-12-05", 1, "paid"), ("2027-01-05", 1, "paid"), ("2027-02-05", 1, "paid"),
    ]  # fmt: skip
    async with bank.transaction() as context:
        assert await agreement.differences(context, bank.gateway) == []


async def test_the_work_beside_requests_follows_the_business_date(bank: Office) -> None:
    a, b = await account(bank, 10_000), await account(bank)
    await order(bank, a, b, Terms(1_000, MONTHLY))
    await standing.work(bank.app.state.office)
    assert await balance(bank, b) == 0
    async with bank.transaction() as context:
        await context.connection.execute(text("UPDATE office.business_date SET day = '2026-12-07'"))
    await standing.work(bank.app.state.office)
    assert await balance(bank, b) == 1_000


async def test_two_at_the_same_time_and_one_cut_off(bank: Office) -> None:
    a, b = await account(bank, 100_000), await account(bank)
    for _ in range(30):
        await order(bank, a, b, Terms(10, MONTHLY))

    async def cut_off() -> None:
        async with bank.transaction() as context:
            await standing._due_portion(context, date(2026, 12, 7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cut_off()
    done = await asyncio.gather(step(bank, date(2026, 12, 7)), step(bank, date(2026, 12, 7)))
    assert sum(done) == 30
    assert await balance(bank, b) == 300


async def test_a_lack_of_money_is_tried_again_on_working_days(bank: Office) -> None:
    a, b = await account(bank, 10), await account(bank)
    row = await order(bank, a, b, Terms(1_000, Schedule(Every.MONTH, date(2026, 12, 1), on_day=4), retries=2))
    assert await step(bank, date(2026, 12, 4)) == 1
    assert await history(bank, row) == [("2026-12-04", 1, "waiting")]
    assert await step(bank, date(2026, 12, 5)) == 0, "a Saturday"
    assert await step(bank, date(2026, 12, 7)) == 1
    assert await history(bank, row) == [("2026-12-04", 2, "waiting")]
    assert await step(bank, date(2026, 12, 8)) == 1
    assert await history(bank, row) == [("2026-12-04", 3, "failed")]
    async with bank.transaction() as context:
        told = await notices.listed(context, [f"customer:{a['customer_id']}"], None, 10)
        numbers = (
            await context.connection.execute(select(payments.c.number).where(payments.c.kind == "standing"))
        ).all()
    assert [each["detail"]["reason"] for each in told] == ["exceeds_credits"]
    assert len(numbers) == 3


@pytest.mark.parametrize(("on_failure", "state"), [("skip", "active"), ("stop", "stopped")])
async def test_a_failure_does_what_was_agreed(bank: Office, on_failure: str, state: str) -> None:
    a, b = await account(bank, 10), await account(bank)
    row = await order(bank, a, b, Terms(1_000, MONTHLY, on_failure=on_failure))
    await step(bank, date(2026, 12, 7))
    async with bank.transaction() as context:
        now = await standing.get(context, row["standing_id"])
    assert (now["state"], now["next_due"] is None) == (state, state == "stopped")


async def test_a_rail_that_is_gone_holds_nobody_up(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = await account(bank, 10_000), await account(bank)
    party = Party("收款人", "6228000012345678901", bank=Bank(member="102491002035"))
    with monkeypatch.context() as patch:
        patch.setitem(rails_api.RAILS, "paper", PaperRail())
        async with bank.transaction() as context:
            gone = await standing.create(context, a, None, Terms(5, MONTHLY), outside=party, rail="paper")
    good = await order(bank, a, b, Terms(1_000, MONTHLY))
    assert await step(bank, date(2026, 12, 7)) == 1
    assert await history(bank, gone) == [("2026-12-05", 1, "failed")]
    assert await history(bank, good) == [("2026-12-05", 1, "paid")]


async def test_it_ends_after_its_last_date(bank: Office) -> None:
    a, b = await account(bank, 10_000), await account(bank)
    row = await order(bank, a, b, Terms(1_000, Schedule(Every.DAY, date(2026, 12, 1), times=2)))
    assert await step(bank, date(2026, 12, 9)) == 2
    async with bank.transaction() as context:
        assert (await standing.get(context, row["standing_id"]))["state"] == "finished"


async def test_over_http(bank: Office) -> None:
    await bank.add("teller", "teller")
    a, b = await account(bank, 10_000), await account(bank)
    body = {
        "from_account": a["number"], "to_account": b["number"], "amount": {"amount": "5.00"}, "every": "month",
        "on_day": 31, "first_on": "2026-12-01",
    }  # fmt: skip
    made = await bank.ask("teller", "POST", "/standing-orders", body)
    assert (made.status_code, made.json()["next_on"]) == (201, "2026-12-31")
    path = f"/standing-orders/{made.json()['standing_id']}"
    terms = {name: body[name] for name in ("amount", "every", "first_on")} | {"on_day": 15}
    changed = await bank.ask("teller", "PUT", path, terms, if_match='"1"')
    assert (changed.status_code, changed.json()["next_on"]) == (200, "2026-12-15")
    stale = await bank.ask("teller", "PUT", path, terms, if_match='"1"')
    assert stale.status_code == 412
    await step(bank, date(2026, 12, 15))
    one = await bank.ask("teller", "GET", path)
    assert [run["state"] for run in one.json()["history"]] == ["paid"]
    stopped = await bank.ask("teller", "POST", f"{path}/stop", {"reason": "moved"}, if_match='"2"')
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    listed = (await bank.ask("teller", "GET", f"/standing-orders?account={a['number']}&state=stopped")).json()
    assert len(listed["items"]) == 1
    past = await bank.ask("teller", "POST", "/standing-orders", body | {"first_on": "2026-12-15"})
    assert past.json()["errors"][0]["field"] == "first_on"
    wrong = await bank.ask("teller", "POST", "/standing-orders", body | {"every": "week"})
    assert wrong.json()["errors"][0]["field"] == "on_day"
