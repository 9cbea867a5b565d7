"""Branches of the demo, and one user for each role (two where two persons must agree)."""

from typing import Final

from sqlalchemy import text

from backoffice.access import users
from backoffice.background import Services
from backoffice.context import SYSTEM, Context

BRANCHES: Final = (
    ("ZZ01", "郑州金水支行", "Zhengzhou Jinshui branch", "410105"),
    ("ZZ02", "郑州二七支行", "Zhengzhou Erqi branch", "410103"),
    ("ZZ03", "郑东新区支行", "Zhengdong New District branch", "410104"),
    ("LY01", "洛阳西工支行", "Luoyang Xigong branch", "410303"),
    ("KF01", "开封龙亭支行", "Kaifeng Longting branch", "410202"),
)
USERS: Final = (
    ("teller", "陈晓", "ZZ01", "teller"),
    ("manager", "李敏", "ZZ01", "relationship_manager"),
    ("product", "赵一鸣", "HO", "product_manager"),
    ("operations", "孙丽", "HO", "operations"),
    ("operations2", "周伟", "HO", "operations"),
    ("risk", "吴刚", "HO", "risk_officer"),
    ("compliance", "郑洁", "HO", "compliance"),
    ("compliance2", "何平", "HO", "compliance"),
    ("auditor", "冯琳", "HO", "auditor"),
    ("admin", "高远", "HO", "administrator"),
)
"""Name, person, branch, role."""


async def seed(services: Services, password: str) -> None:
    """Make branches and users that are missing."""
    async with services.database.transaction() as connection:
        context = Context(connection, SYSTEM, services.clock)
        for branch, zh, en, region in BRANCHES:
            row = {"b": branch, "zh": zh, "en": en, "r": region}
            statement = (
                "INSERT INTO office.branches (branch, name_zh, name_en, region, parent) "
                "VALUES (:b, :zh, :en, :r, 'HO') ON CONFLICT DO NOTHING"
            )
            await connection.execute(text(statement), row)
        known = set((await connection.execute(text("SELECT name FROM office.users"))).scalars())
        for name, person, branch, role in USERS:
            if name not in known:
                await users.create(context, name=name, full_name=person, roles=[role], password=password, branch=branch)
