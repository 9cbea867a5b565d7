"""Figures to search by, from the ledger: written beside requests for customers whose accounts have moved."""

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import select, text

from backoffice.accounts import balances
from backoffice.accounts.tables import accounts
from backoffice.background import Services, background, system
from backoffice.database import rows_of
from backoffice.search import service

GROUPS: Final = 2_000
MISSING: Final = 200
DEPOSITS: Final = frozenset({"demand", "term", "notice", "card"})


@background("search.figures", every_s=5.0)
async def refresh(services: Services) -> bool:
    """Look at what was settled since the last time, and write the figures of who it moved."""
    if services.keyring is None:
        return False
    async with system(services) as context:
        if await service.missing(context, MISSING) == MISSING:
            return True
    async with system(services) as context:
        customers, newest = await service.moved(context, GROUPS)
        if newest is None:
            return False
        query = select(accounts).where(accounts.c.customer_id.in_(customers), accounts.c.status != "closed")
        rows = rows_of(await context.connection.execute(query)) if customers else []
        found = await balances.of(services.gateway, rows)
        figures: dict[int, dict[str, Any]] = {
            number: {"products": set(), "deposits": 0, "investments": 0, "loans": 0} for number in customers
        }
        sums: defaultdict[tuple[int, str], int] = defaultdict(int)
        for row in rows:
            figures[row["customer_id"]]["products"].add(row["kind"])
            part = "loans" if row["kind"] == "loan" else "deposits" if row["kind"] in DEPOSITS else "investments"
            if row["currency"] == "CNY":
                sums[row["customer_id"], part] += found[row["account_id"]][0]
        for number, figure in figures.items():
            figure["products"] = sorted(figure["products"])
            for part in ("deposits", "investments", "loans"):
                figure[part] = sums[number, part]
        await service.write_figures(context, figures)
        before = await context.connection.scalar(text("SELECT at FROM office.search_watermark"))
        await context.connection.execute(text("UPDATE office.search_watermark SET at = :at"), {"at": newest})
        return bool(newest != before)
