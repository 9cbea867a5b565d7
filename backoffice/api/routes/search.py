"""Searching customers."""

import base64
import binascii
import json
from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Request

from backoffice import audit
from backoffice.api.models import Amount
from backoffice.api.models.search import FoundsOut, SearchIn
from backoffice.api.working import cursor, needs, work
from backoffice.money import Money, MoneyError
from backoffice.problems import invalid
from backoffice.search import figures as _figures  # noqa: F401 - registers what keeps the figures
from backoffice.search import service
from backoffice.search.service import EQUAL, Query

router = APIRouter(tags=["customers"])


@router.post("/customers/search", response_model=FoundsOut, openapi_extra=needs("customers.read"))
async def search_customers(request: Request, body: SearchIn) -> dict[str, Any]:
    """Find customers in any combination of dimensions, masked; a read, whatever its method. Searching is audited."""
    ranges: dict[str, tuple[int | None, int | None]] = {}
    if body.birth_year is not None:
        ranges["birth_year"] = (body.birth_year.least, body.birth_year.most)
    for name in ("deposits", "investments", "loans"):
        given = getattr(body, name)
        if given is not None:
            ranges[f"{name}_minor"] = (_minor(f"{name}.least", given.least), _minor(f"{name}.most", given.most))
    query = Query(
        text=body.text,
        equal={name: getattr(body, name) for name in EQUAL if getattr(body, name) is not None},
        region=body.region,
        tags=tuple(body.tags),
        products=tuple(body.products),
        ranges=ranges,
        certificate=body.certificate,
        phone=body.phone,
        email=body.email,
        sort=body.sort,
    )
    mark = sha256(body.model_dump_json(exclude={"cursor", "limit"}).encode()).hexdigest()[:12]
    place = _place(body.cursor, mark)
    async with work(request) as context:
        rows, following = await service.find(context, query, place, body.limit)
        # Which dimensions, not what for: a search text is personal data, too.
        asked = sorted(body.model_fields_set - {"cursor", "limit"})
        await audit.record(context, "customers.search", "customers", {"by": asked, "found": len(rows)})
    items = []
    for row in rows:
        amounts = {name: Amount.of(row.pop(f"{name}_minor")) for name in ("deposits", "investments", "loans")}
        items.append(row | amounts)
    return {"items": items, "next": None if following is None else cursor([*following, mark])}


def _minor(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return Money.parse(text).minor
    except MoneyError as error:
        raise invalid(field, str(error)) from None


def _place(text: str | None, mark: str) -> tuple[int, int] | None:
    """Read a cursor, which is good for the query that it came from and no other."""
    if text is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        found = None
    good = isinstance(found, list) and len(found) == 3 and found[2] == mark
    if not good or not all(isinstance(each, int) and abs(each) < 2**63 for each in found[:2]):
        raise invalid("cursor", "not one of this query")
    return found[0], found[1]
