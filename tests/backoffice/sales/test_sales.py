"""Sale with money: suitability, quotas that hold, refusals that leave nothing, redemption, cooling-off."""

import asyncio
from collections import Counter
from datetime import date
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from backoffice.accounts import service as accounts
from backoffice.customers import service as customers
from backoffice.demo import catalogue, people
from backoffice.ledger.agreement import differences
from backoffice.rating.assessments import questionnaire
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import person, resident_id
from tests.backoffice.payments.institution import Order, pay

BOLD = {question.key: max(question.points, key=question.points.__getitem__) for question in questionnaire().questions}
TIMID = BOLD | {"aim": "keep"}


@pytest.fixture
async def shop(bank: Office) -> Office:
    await people.seed(bank.app.state.office, "correct horse battery")
    await catalogue.seed(bank.app.state.office, "")
    await bank.add("seller", "relationship_manager")
    return bank


async def customer(
    office: Office, minor: int, answers: dict[str, str] | None = None, **changes: Any
) -> tuple[int, Any]:
    """Give a customer and an account with money."""
    made = await person(office, **changes)
    async with office.transaction() as context:
        account = await accounts.open_(
            context, customer_id=made["customer_id"], kind="demand", product_id="DEMAND-CNY", product_version=1,
            currency="CNY", branch="HO",
        )  # fmt: skip
    if minor:
        await pay(
            office, Order("deposit", "counter", minor, "CNY", to_account=account["account_id"], two_persons=False)
        )
    if answers is not None:
        path = f"/customers/{made['customer_id']}/suitability"
        assert (await office.ask("seller", "POST", path, {"answers": answers})).status_code == 201
    return made["customer_id"], account


async def buy(office: Office, who: int, account: Any, product: str, amount: str, **more: Any) -> httpx.Response:
    body = {
        "customer_id": who,
        "product_id": product,
        "paying_account": account["number"],
        "amount": {"amount": amount},
    }
    return await office.ask("seller", "POST", "/sales/purchases", body | more)


async def balance(office: Office, account: Any) -> str:
    return str((await office.ask("seller", "GET", f"/accounts/{account['number']}")).json()["balance"]["amount"])


async def sold(office: Office, product: str) -> int:
    async with office.transaction() as context:
        query = text("SELECT sold_minor FROM office.product_versions WHERE product_id = :p")
        return int((await context.connection.execute(query, {"p": product})).scalar_one())


async def agreed(office: Office) -> None:
    async with office.transaction() as context:
        assert await differences(context, office.gateway) == []


async def test_a_deposit_is_bought_and_given_back_with_interest(shop: Office) -> None:
    who, account = await customer(shop, 2_000_000)
    bought = (await buy(shop, who, account, "TERM-12M", "10000")).json()
    assert (bought["state"], bought["amount"]["amount"], bought["suitability"]["findings"]) == (
        "confirmed",
        "10000.00",
        [],
    )
    assert (await balance(shop, account), await sold(shop, "TERM-12M")) == ("10000.00", 1_000_000)
    held = (await shop.ask("seller", "GET", f"/accounts/{bought['holding_account']}")).json()
    assert (held["balance"]["amount"], held["matures_on"], held["terms"]["rate"]) == ("10000.00", "2027-11-23", "0.95")
    async with shop.transaction() as context:
        await context.connection.execute(text("UPDATE office.business_date SET day = :d"), {"d": date(2027, 11, 23)})
    back = (await shop.ask("seller", "POST", "/sales/redemptions", {"holding_account": held["number"]})).json()
    assert (back["state"], back["interest"]["amount"]) == ("confirmed", "95.00")
    assert await balance(shop, account) == "20095.00"
    again = await shop.ask("seller", "POST", "/sales/redemptions", {"holding_account": held["number"]})
    assert again.json()["code"] == "state"
    assert (await shop.ask("seller", "GET", f"/accounts/{held['number']}")).json()["status"] == "closed"
    await agreed(shop)


async def test_nobody_buys_above_the_level_or_unwarned(shop: Office) -> None:
    timid, poor = await customer(shop, 2_000_000, TIMID)
    bold, rich = await customer(shop, 20_000_000, BOLD)
    unknown, other = await customer(shop, 2_000_000)
    product = "WEALTH-GROWTH-365"
    for who, account, more, findings in (
        (unknown, other, {"risk_warning_confirmed": True}, ["not_assessed"]),
        (timid, poor, {"risk_warning_confirmed": True}, ["above_level"]),
        (bold, rich, {}, ["risk_warning"]),
    ):
        refused = await buy(shop, who, account, product, "10000", **more)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_suitable")
        assert refused.json()["findings"] == findings
    assert await sold(shop, product) == 0
    bought = (await buy(shop, bold, rich, product, "10000", risk_warning_confirmed=True)).json()
    assert (bought["state"], bought["fee"]["amount"]) == ("confirmed", "50.00")
    assert bought["suitability"]["confirmed"] == ["risk_warning"]
    async with shop.transaction() as context:
        await context.connection.execute(text("UPDATE office.business_date SET day = :d"), {"d": date(2027, 11, 23)})
    late = await buy(shop, bold, rich, product, "10000", risk_warning_confirmed=True)
    assert late.json()["findings"] == ["assessment_expired"]
    await agreed(shop)


async def test_what_lowers_a_level_counts_at_once(shop: Office) -> None:
    who, account = await customer(shop, 20_000_000, BOLD)
    async with shop.transaction() as context:
        await customers.touch(context, who, {"risk_level": 2}, "rated")
    refused = await buy(shop, who, account, "WEALTH-GROWTH-365", "10000", risk_warning_confirmed=True)
    assert refused.json()["findings"] == ["above_level"]


async def test_an_elderly_customer_needs_a_second_look(shop: Office) -> None:
    old = {"certificate": {"kind": "resident_id", "number": resident_id(901, "19500101")}}
    who, account = await customer(shop, 2_000_000, BOLD | {"age": "65_or_more"}, **old)
    more = {"risk_warning_confirmed": True}
    refused = await buy(shop, who, account, "WEALTH-STEADY-90", "1000", **more)
    assert refused.json()["findings"] == ["elderly_confirmation"]
    assert (await buy(shop, who, account, "WEALTH-STEADY-90", "1000", **more, second_look=True)).status_code == 201


async def test_attempts_are_counted(shop: Office) -> None:
    who, _ = await customer(shop, 0)
    path = f"/customers/{who}/suitability"
    answers = await asyncio.gather(*(shop.ask("seller", "POST", path, {"answers": TIMID}) for _ in range(5)))
    assert Counter(each.status_code for each in answers) == {201: 2, 409: 3}
    assert len((await shop.ask("seller", "GET", path)).json()["items"]) == 2
    wrong = await shop.ask("seller", "POST", f"/customers/{(await customer(shop, 0))[0]}/suitability", {"answers": {}})
    assert wrong.json()["errors"][0]["field"] == "answers.age"


async def test_a_quota_is_never_oversold(shop: Office) -> None:
    """Fifty buyers at the same moment, a quota for twenty: twenty have it, and their money is gone; nobody else's."""
    async with shop.transaction() as context:
        query = text("UPDATE office.product_versions SET quota_minor = 2000000 WHERE product_id = 'TERM-3M'")
        await context.connection.execute(query)
    buyers = [await customer(shop, 150_000) for _ in range(50)]
    answers = await asyncio.gather(*(buy(shop, who, account, "TERM-3M", "1000") for who, account in buyers))
    assert Counter(each.json().get("state", each.json().get("code")) for each in answers) == {
        "confirmed": 20,
        "sold_out": 30,
    }
    assert await sold(shop, "TERM-3M") == 2_000_000
    left = Counter([await balance(shop, account) for _, account in buyers])
    assert left == {"500.00": 20, "1500.00": 30}
    await agreed(shop)


async def test_a_purchase_without_money_leaves_nothing_behind(shop: Office) -> None:
    who, account = await customer(shop, 10_000)
    failed = (await buy(shop, who, account, "TERM-3M", "1000")).json()
    assert (failed["state"], failed["reason"]) == ("failed", "exceeds_credits")
    assert (await balance(shop, account), await sold(shop, "TERM-3M")) == ("100.00", 0)
    held = (await shop.ask("seller", "GET", f"/accounts/{failed['holding_account']}")).json()
    assert held["status"] == "closed"
    await agreed(shop)


async def test_the_same_key_buys_once(shop: Office) -> None:
    who, account = await customer(shop, 1_000_000)
    body = {
        "customer_id": who,
        "product_id": "TERM-3M",
        "paying_account": account["number"],
        "amount": {"amount": "1000"},
    }
    answers = await asyncio.gather(
        *(shop.ask("seller", "POST", "/sales/purchases", body, idempotency_key="once") for _ in range(8))
    )
    done = [each.json() for each in answers if each.status_code == 201]
    assert len({each["number"] for each in done}) == 1
    assert await balance(shop, account) == "9000.00"


async def test_cooling_off_undoes_all_of_it_once(shop: Office) -> None:
    who, account = await customer(shop, 5_000_000, BOLD)
    bought = (await buy(shop, who, account, "WEALTH-GROWTH-365", "10000", risk_warning_confirmed=True)).json()
    assert await balance(shop, account) == "39950.00"
    path = f"/sales/orders/{bought['number']}/withdrawal"
    answers = await asyncio.gather(*(shop.ask("seller", "POST", path) for _ in range(4)))
    assert Counter(each.status_code for each in answers) == {201: 1, 409: 3}
    assert (await balance(shop, account), await sold(shop, "WEALTH-GROWTH-365")) == ("50000.00", 0)
    second = (await buy(shop, who, account, "WEALTH-GROWTH-365", "10000", risk_warning_confirmed=True)).json()
    async with shop.transaction() as context:
        await context.connection.execute(text("UPDATE office.business_date SET day = :d"), {"d": date(2026, 11, 25)})
    late = await shop.ask("seller", "POST", f"/sales/orders/{second['number']}/withdrawal")
    assert "over" in late.json()["detail"]
    early = await shop.ask("seller", "POST", "/sales/redemptions", {"holding_account": second["holding_account"]})
    assert "closed until 2027-11-23" in early.json()["detail"]
    await agreed(shop)


@pytest.mark.parametrize(
    ("product", "amount", "field"),
    [("TERM-60M", "100", "amount"), ("TERM-60M", "200000.50", "amount"), ("DEMAND-CNY", "100", "product_id"),
     ("TERM-3M", "0", "amount"), ("TERM-3M", "1.001", "amount")],
)  # fmt: skip
async def test_what_cannot_be_bought_names_the_field(shop: Office, product: str, amount: str, field: str) -> None:
    who, account = await customer(shop, 0)
    refused = await buy(shop, who, account, product, amount)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_only_from_an_account_of_ones_own(shop: Office) -> None:
    who, _ = await customer(shop, 0)
    _, other = await customer(shop, 0)
    refused = await buy(shop, who, other, "TERM-3M", "1000")
    assert "another customer's" in refused.json()["errors"][0]["message"]
