"""Customers of the demo with their accounts and a little history: invented names, valid numbers of nobody.

What is drawn comes from a fixed seed, so every demo is the same institution.
"""

import random
from datetime import date
from typing import Any, Final

from stdnum.cn import ric, uscc

from backoffice.accounts import service as accounts
from backoffice.background import Services
from backoffice.context import SYSTEM, Context
from backoffice.customers import service
from backoffice.customers.fields import Fields
from backoffice.demo.catalogue import as_user
from backoffice.demo.people import BRANCHES
from backoffice.payments.events import groups_of
from backoffice.payments.service import Order
from backoffice.payments.service import create as pay
from backoffice.rating import assessments
from backoffice.sales import service as sales
from backoffice.sales.service import Confirmed

PERSONS: Final = 48
ENTERPRISES: Final = 12
FAMILY: Final = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高"
GIVEN: Final = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂华建国文辉玲晨雨欣浩然子涵"
TRADES: Final = (
    ("商贸", "F51"), ("食品", "C14"), ("物流", "G59"), ("建材", "C30"), ("软件", "I65"), ("农业科技", "A01"),
)  # fmt: skip
PRODUCTS: Final = (("TERM-12M", 5_000_000), ("TERM-36M", 2_000_000), ("WEALTH-STEADY-90", 1_000_000))


async def seed(services: Services, _password: str) -> None:
    """Make what is missing: each customer with account, deposit, questionnaire and purchase, step by step."""
    draw = random.Random(20261123)  # noqa: S311 - an invented world, not a secret
    made = [await _customer(services, draw, serial) for serial in range(1, PERSONS + ENTERPRISES + 1)]
    for place, (number, opened, minor) in enumerate(made):
        if place % 3 == 0:
            await _transfer(services, draw, opened, made[(place + 7) % len(made)][1], place)
        product, amount = PRODUCTS[place // 4 % len(PRODUCTS)]
        if place < PERSONS and place % 4 == 0 and minor > 2 * amount:
            await _buy(services, number, opened, product, amount)


async def _customer(services: Services, draw: random.Random, serial: int) -> tuple[int, dict[str, Any], int]:
    """Make one customer unless it is there, with an account and money; give number, account and money."""
    branch, _, _, region = BRANCHES[serial % len(BRANCHES)]
    person = serial <= PERSONS
    certificate = "resident_id" if person else "credit_code"
    fields = _person(draw, serial, region) if person else _enterprise(draw, serial, region)
    minor = draw.randint(2_000, 400_000) * 100 if person else draw.randint(50_000, 9_000_000) * 100
    async with services.database.transaction() as connection:
        context = Context(connection, SYSTEM, services.clock, services.keyring)
        teller = await as_user(context, "teller")
        number = await service.by_certificate(context, certificate, fields.certificate_number)
        if number is None:
            row = await service.create(
                teller, kind="person" if person else "enterprise", certificate_kind=certificate, fields=fields,
                branch=branch, region=region, industry="" if person else TRADES[serial % len(TRADES)][1],
                tags=["vip"] if minor > 30_000_000 else [],
            )  # fmt: skip
            number = int(row["customer_id"])
            if serial % 17:
                await service.set_status(teller, number, "active", "papers are complete", row["version"])
        known = await accounts.of_customer(context, number)
        opened = known[0] if known else await accounts.open_(
            teller, customer_id=number, kind="demand", product_id="DEMAND-CNY", product_version=1, currency="CNY",
            branch=branch,
        )  # fmt: skip
    await _paid(services, Order("deposit", "counter", minor, to_account=opened["account_id"], two_persons=False,
                                reference=f"demo-{serial}", purpose="开户存入"))  # fmt: skip
    return number, opened, minor


def _person(draw: random.Random, serial: int, region: str) -> Fields:
    born = date(draw.randint(1948, 2004), draw.randint(1, 12), draw.randint(1, 28))
    body = f"{region}{born:%Y%m%d}{500 + serial:03d}"
    return Fields(
        name=draw.choice(FAMILY) + "".join(draw.sample(GIVEN, draw.choice((1, 2)))),
        certificate_number=body + ric.calc_check_digit(body + "0"),
        phone=f"1380000{serial:04d}",
        email=f"customer{serial}@example.com",
        address="河南省某市某区示范路" + str(serial) + "号",
        occupation=draw.choice(("教师", "医生", "工程师", "个体经营", "退休", "公务员")),
    )


def _enterprise(draw: random.Random, serial: int, region: str) -> Fields:
    body = f"91{region}9900{serial:05d}"
    trade = TRADES[serial % len(TRADES)][0]
    return Fields(
        name=f"示范{''.join(draw.sample(GIVEN, 2))}{trade}有限公司",
        certificate_number=body + uscc.calc_check_digit(body),
        phone=f"0371600{serial:05d}",
        email=f"office{serial}@example.com",
        address="河南省某市某区示范大道" + str(serial) + "号",
        legal_representative=draw.choice(FAMILY) + "".join(draw.sample(GIVEN, 2)),
    )


async def _transfer(
    services: Services, draw: random.Random, payer: dict[str, Any], payee: dict[str, Any], place: int
) -> None:
    order = Order(
        "transfer", draw.choice(("mobile", "online", "counter")), draw.randint(50, 1_500) * 100,
        from_account=payer["account_id"], to_account=payee["account_id"], two_persons=False,
        reference=f"demo-transfer-{place}", purpose=draw.choice(("货款", "房租", "借款归还", "生活费")),
    )  # fmt: skip
    await _paid(services, order)


async def _paid(services: Services, order: Order) -> None:
    """Make a payment once, by its reference, and let it settle."""
    async with services.database.transaction() as connection:
        system = Context(connection, SYSTEM, services.clock, services.keyring)
        row = await pay(await as_user(system, "teller"), order)
        groups = groups_of(row)
    await services.gateway.settle(groups, 10.0)


async def _buy(services: Services, number: int, opened: dict[str, Any], product: str, minor: int) -> None:
    """Let an active customer answer the questionnaire and buy something, once."""
    async with services.database.transaction() as connection:
        system = Context(connection, SYSTEM, services.clock, services.keyring)
        if (await service.row_of(system, number))["status"] != "active" or len(
            await accounts.of_customer(system, number)
        ) > 1:
            return
        manager = await as_user(system, "manager")
        middle = {each.key: sorted(each.points, key=each.points.__getitem__)[len(each.points) // 2]
                  for each in assessments.questionnaire().questions}  # fmt: skip
        if not await assessments.history(manager, number):
            await assessments.answer(manager, number, middle)
        order = await sales.buy(
            manager, number, product, paying=opened["number"], amount_minor=minor,
            confirmed=Confirmed(risk_warning=True, second_look=True),
        )  # fmt: skip
    await services.gateway.settle([order["group_id"]], 10.0)
