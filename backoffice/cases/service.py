"""Opening cases. The same finding (`key`) never makes two, however often it is found."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from backoffice import audit
from backoffice.cases.tables import cases
from backoffice.context import Context


async def open_case(
    context: Context,
    kind: str,
    key: str,
    *,
    subject: str,
    summary: str,
    customer_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    due_on: date | None = None,
) -> int | None:
    """Open a case in the transaction of what was found; return its number, None when it is known already."""
    made = (
        insert(cases)
        .values(
            kind=kind, key=f"{kind}:{key}", subject=subject, customer_id=customer_id, summary=summary,
            detail=dict(detail or {}), due_on=due_on, made_at=context.clock(),
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(cases.c.case_id)
    )  # fmt: skip
    number: int | None = await context.connection.scalar(made)
    if number is not None:
        await audit.record(context, "cases.open", f"case:{number}", {"kind": kind, "subject": subject})
    return number
