"""Products of the demo, made by its product manager, approved by its risk officer, and put on sale."""

import tomllib
from importlib.resources import files

from sqlalchemy import select

from backoffice import approvals
from backoffice.access.permissions import permissions_of
from backoffice.background import Services
from backoffice.context import Actor, Context
from backoffice.database import rows_of
from backoffice.products import catalogue
from backoffice.products.catalogue import Offer
from backoffice.products.lifecycle import Move
from backoffice.products.tables import versions
from backoffice.tables import users


async def as_user(context: Context, name: str) -> Context:
    """Give a context in which a user of the demo acts."""
    row = rows_of(await context.connection.execute(select(users).where(users.c.name == name)))[0]
    actor = Actor(
        row["user_id"], name, frozenset(row["roles"]), permissions_of(row["roles"]), row["branch"], "127.0.0.1"
    )
    return Context(context.connection, actor, context.clock, context.keys)


async def seed(services: Services, _password: str) -> None:
    """Make the products that are missing, each in a commit of its own."""
    document = tomllib.loads(files("backoffice.demo").joinpath("products.toml").read_text("utf-8"))
    for each in document["products"]:
        async with services.database.transaction() as connection:
            system = Context(connection, Actor(None, "system", frozenset(), frozenset()), services.clock)
            known = select(versions.c.version).where(versions.c.product_id == each["id"])
            if (await connection.execute(known)).first() is not None:
                continue
            maker, checker = await as_user(system, "product"), await as_user(system, "risk")
            await catalogue.create(
                maker, each["id"], each["kind"], name_zh=each["zh"], name_en=each["en"],
                currency=each.get("currency", "CNY"), issuer="通宝示范银行",
            )  # fmt: skip
            offer = Offer(
                each.get("risk_level", 1), each.get("minimum_minor", 0), each.get("step_minor", 1),
                each.get("quota_minor"),
            )  # fmt: skip
            made = await catalogue.draft(maker, each["id"], each["terms"], offer)
            asked = await catalogue.submit(maker, each["id"], made["version"])
            await approvals.decide(checker, asked["approval_id"], approve=True)
            await catalogue.move(maker, each["id"], made["version"], Move.LAUNCH)
