"""A small institution for tests: customers with accounts, money on them, and a rail that only writes down."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from backoffice.accounts import service as accounts
from backoffice.context import Context
from backoffice.payments import service
from backoffice.payments.events import groups_of
from backoffice.payments.service import Order
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import enterprise_body, make, person_body

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


async def customer(context: Context, kind: str = "person") -> int:
    """A customer of whom nobody asks who it is."""
    made = await make(context, person_body() if kind == "person" else enterprise_body())
    return int(made["customer_id"])


async def product(context: Context) -> None:
    """A product that accounts may be opened under."""
    await context.connection.execute(
        text(
            "INSERT INTO office.products (product_id, kind, name_zh, name_en, made_at) "
            "VALUES ('TEST-DEMAND', 'demand', '活期', 'Demand', :at) ON CONFLICT DO NOTHING"
        ),
        {"at": AT},
    )
    await context.connection.execute(
        text(
            "INSERT INTO office.product_versions (product_id, version, state, terms, risk_level, made_at) "
            "VALUES ('TEST-DEMAND', 1, 'on_sale', '{}', 1, :at) ON CONFLICT DO NOTHING"
        ),
        {"at": AT},
    )


async def account(office: Office, minor: int = 0, customer_id: int | None = None, currency: str = "CNY") -> Any:
    """An account with money on it; its row."""
    async with office.transaction() as context:
        await product(context)
        row = await accounts.open_(
            context,
            customer_id=await customer(context) if customer_id is None else customer_id,
            kind="demand",
            product_id="TEST-DEMAND",
            product_version=1,
            currency=currency,
            branch="HO",
        )
    if minor:
        made = await pay(
            office, Order("deposit", "counter", minor, currency, to_account=row["account_id"], two_persons=False)
        )
        assert made["state"] == "captured", made
    return row


async def pay(office: Office, order: Order) -> Any:
    """Make a payment and let it settle; its row."""
    async with office.transaction() as context:
        row = await service.create(context, order)
    return await settled(office, row["number"])


async def settled(office: Office, number: str) -> Any:
    """Settle what is on its way for a payment; its row."""
    for _ in range(20):
        async with office.transaction() as context:
            row = await service.get(context, number)
        if not groups_of(row):
            return row
        assert await office.gateway.settle(groups_of(row), 20)
    raise AssertionError(f"{number} is never settled")


async def balance(office: Office, row: Mapping[str, Any]) -> int:
    """What is on an account; one that the engine does not have yet has nothing."""
    found = (await office.gateway.balances([row["account_id"]])).get(row["account_id"])
    return found.balance if found else 0


class PaperRail:
    """A rail that writes down what it is asked."""

    def __init__(self, name: str = "paper") -> None:
        self.name = name
        self.clearing = (3001, 77)
        self.asked: list[tuple[Any, ...]] = []

    async def authorise(self, context: Context, payment: Mapping[str, Any]) -> None:
        self.asked.append(("authorise", payment["number"]))

    async def decline(self, context: Context, payment: Mapping[str, Any]) -> None:
        self.asked.append(("decline", payment["number"], payment["reason"]))

    async def capture(self, context: Context, payment: Mapping[str, Any], amount_minor: int) -> None:
        self.asked.append(("capture", payment["number"], amount_minor))

    async def void(self, context: Context, payment: Mapping[str, Any]) -> None:
        self.asked.append(("void", payment["number"]))

    async def refund(self, context: Context, payment: Mapping[str, Any], amount_minor: int, request_id: str) -> None:
        self.asked.append(("refund", payment["number"], amount_minor))
