"""A customer at one glance: who it is (masked), accounts with the engine's balances, cases, notices, rating."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select

from backoffice import notices
from backoffice.accounts import service as accounts
from backoffice.cases.tables import cases
from backoffice.context import Context
from backoffice.customers import owners, records, service
from backoffice.customers.tables import customers
from backoffice.database import rows_of
from backoffice.privacy import masks

Row = dict[str, Any]
SHOWN_MAX: Final = 20
HOLDINGS: Final = frozenset({"wealth", "fund"})


async def of(context: Context, customer_id: int) -> Row:
    """Everything but the balances, which are the engine's: `with_balances`. Numbers of accounts are masked."""
    row = await service.row_of(context, customer_id)
    found = await accounts.of_customer(context, customer_id)
    where = cases.c.customer_id == customer_id
    query = select(cases).where(where).order_by(cases.c.case_id.desc()).limit(SHOWN_MAX)
    names = ("case_id", "kind", "state", "summary", "decision", "due_on", "made_at")
    open_cases = select(func.count()).select_from(cases).where(where, cases.c.state != "closed")
    told = await notices.listed(context, [f"customer:{customer_id}"], None, SHOWN_MAX)
    merged = select(customers.c.customer_id).where(customers.c.merged_into == customer_id)
    return {
        "customer": await service.get(context, customer_id),
        "accounts": [_account(each) for each in found],
        "cases_open": await context.connection.scalar(open_cases),
        "cases": [{name: each[name] for name in names} for each in rows_of(await context.connection.execute(query))],
        "notices": [{name: each[name] for name in ("notice_id", "kind", "detail", "made_at")} for each in told],
        "rating": {"risk_level": row["risk_level"], "risk_until": row["risk_until"], "grade": row["grade"]},
        "documents": await records.documents(context, customer_id),
        "owners": await owners.of(context, customer_id) if row["kind"] == "enterprise" else [],
        "relations": await owners.relations(context, customer_id),
        "merged_from": list((await context.connection.execute(merged.order_by(customers.c.customer_id))).scalars()),
    }


def _account(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "account_id", "kind", "product_id", "product_version", "currency", "branch", "status", "opened_on",
        "matures_on",
    )  # fmt: skip
    about = {name: row[name] for name in names}
    return about | {"number": masks.card(row["number"]), "holding": row["kind"] in HOLDINGS}
