"""Accounts through the API: opened, shown with the engine's balances, stopped, released by two, closed when empty."""

import httpx
import pytest

from backoffice.accounts.numbers import is_number, number_of
from backoffice.ledger import Posting, own, plan
from server.client import TransferFlag
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import person
from tests.backoffice.payments.institution import product


@pytest.fixture
async def staffed(bank: Office) -> Office:
    for name, role in (("teller", "teller"), ("ops", "operations"), ("ops2", "operations"), ("auditor", "auditor")):
        await bank.add(name, role)
    async with bank.transaction() as context:
        await product(context)
    return bank


async def opened(office: Office) -> tuple[str, int]:
    """Give the number of a new account, and the engine's."""
    customer = (await person(office))["customer_id"]
    answer = await office.ask("teller", "POST", f"/customers/{customer}/accounts", {"product_id": "TEST-DEMAND"})
    assert answer.status_code == 201, answer.text
    assert "account_id" not in answer.json()
    async with office.transaction() as context:
        query = "SELECT account_id FROM office.accounts ORDER BY account_id DESC LIMIT 1"
        return str(answer.json()["number"]), int((await context.connection.exec_driver_sql(query)).scalar_one())


async def post(office: Office, account: int, minor: int, *, pending: bool = False) -> None:
    """Money from the cash desk, or to it when below zero."""
    async with office.transaction() as context:
        cash = await own(context, 1001)
        debit, credit = (cash, account) if minor > 0 else (account, cash)
        flag = TransferFlag.PENDING if pending else TransferFlag(0)
        group = await plan(context, "none", "test:1", [Posting(debit, credit, abs(minor), 156, 1, flag)])
    assert await office.gateway.settle([group], 5.0)


async def close(office: Office, number: str) -> httpx.Response:
    return await office.ask("teller", "POST", f"/accounts/{number}/closure")


async def test_balance_available_and_held(staffed: Office) -> None:
    number, account = await opened(staffed)
    empty = (await staffed.ask("teller", "GET", f"/accounts/{number}")).json()
    assert (empty["balance"]["amount"], empty["status"]) == ("0.00", "open")
    await post(staffed, account, 100_050)
    await post(staffed, account, -30_000, pending=True)
    answer = await staffed.ask("teller", "GET", f"/accounts/{number}")
    shown = {name: answer.json()[name]["amount"] for name in ("balance", "available", "held")}
    assert shown == {"balance": "1000.50", "available": "700.50", "held": "300.00"}
    items = (await staffed.ask("teller", "GET", f"/customers/{empty['customer_id']}/accounts")).json()["items"]
    assert items == [answer.json()]


async def test_only_active_customers_open_what_is_on_sale(staffed: Office) -> None:
    waiting = (await person(staffed, active=False))["customer_id"]
    refused = await staffed.ask("teller", "POST", f"/customers/{waiting}/accounts", {"product_id": "TEST-DEMAND"})
    assert refused.json()["code"] == "state"
    active = (await person(staffed))["customer_id"]
    unknown = await staffed.ask("teller", "POST", f"/customers/{active}/accounts", {"product_id": "NOTHING"})
    assert unknown.json()["errors"][0]["field"] == "product_id"
    assert (await staffed.ask("teller", "POST", "/customers/1/accounts", {"product_id": "X"})).status_code == 404


async def test_frozen_by_one_released_by_two(staffed: Office) -> None:
    number, _ = await opened(staffed)
    path = f"/accounts/{number}"
    body = {"status": "frozen", "reason": "a court asks"}
    assert (await staffed.ask("ops", "PUT", f"{path}/status", body, if_match='"1"')).json()["status"] == "frozen"
    assert (await staffed.ask("ops", "PUT", f"{path}/status", body, if_match='"1"')).json()["code"] == "changed"
    straight = await staffed.ask("ops", "PUT", f"{path}/status", body | {"status": "open"}, if_match='"2"')
    assert straight.json()["code"] == "state"
    assert (await close(staffed, number)).json()["code"] == "state"
    asked = (await staffed.ask("ops", "POST", f"{path}/release", {"reason": "the court is content"})).json()
    decision = f"/approvals/{asked['approval_id']}/decision"
    assert (await staffed.ask("ops", "POST", decision, {"approve": True})).json()["code"] == "same_person"
    assert (await staffed.ask("ops2", "POST", decision, {"approve": True})).json()["result"]["status"] == "open"


async def test_only_what_is_empty_is_closed(staffed: Office) -> None:
    number, account = await opened(staffed)
    await post(staffed, account, 100)
    full = await close(staffed, number)
    assert (full.json()["code"], full.json()["balance"]) == ("state", "1.00")
    await post(staffed, account, -100, pending=True)
    assert (await close(staffed, number)).json()["code"] == "state"
    other, _ = await opened(staffed)
    closed = await close(staffed, other)
    assert (closed.status_code, closed.json()["status"], closed.json()["closed_on"]) == (200, "closed", "2026-11-23")
    assert (await close(staffed, other)).json()["code"] == "state"


async def test_an_account_with_postings_under_way_is_not_closed(staffed: Office) -> None:
    number, account = await opened(staffed)
    await staffed.gateway.stop()  # nothing is sent any more
    async with staffed.transaction() as context:
        await plan(context, "none", "test:1", [Posting(await own(context, 1001), account, 5, 156, 1)])
    assert "under way" in (await close(staffed, number)).json()["detail"]


def test_numbers_end_with_a_check_digit() -> None:
    number = number_of(123)
    assert len(number) == 19
    assert is_number(number)
    assert not is_number(number[:-1] + str((int(number[-1]) + 1) % 10))
    assert not is_number("123")
    with pytest.raises(ValueError, match="twelve digits"):
        number_of(10**12)
