"""The catalogue and the comparison."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from backoffice import businessday
from backoffice.api.models import Amount, ApprovalOut
from backoffice.api.models.products import (
    ID_PATTERN,
    ComparisonIn,
    ComparisonOut,
    Kind,
    MoveIn,
    ProductIn,
    ProductOut,
    TermsOut,
    VersionIn,
    VersionOut,
    VersionsOut,
)
from backoffice.api.working import PAGE_MAX, needs, page, retried, version_of, work
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.money import Money, MoneyError
from backoffice.problems import Code, Problem, invalid
from backoffice.products import catalogue, compare
from backoffice.products.catalogue import Offer
from backoffice.products.lifecycle import Move
from backoffice.products.tables import products
from backoffice.products.terms import TERMS

router = APIRouter(prefix="/products", tags=["products"])
ProductId = Annotated[str, Path(pattern=ID_PATTERN, examples=["NOTHING"])]
VersionNumber = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("", response_model=VersionsOut, openapi_extra=needs("products.read"))
async def list_products(
    request: Request,
    *,
    kind: Kind | Literal[""] = "",
    state: Literal["", "draft", "submitted", "approved", "on_sale", "suspended", "retired"] = "",
    text: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Versions by product, filtered by kind, state and a part of the name."""
    after = _place(cursor)
    async with work(request) as context:
        rows = await catalogue.listed(context, kind=kind, state=state, text=text, after=after, limit=limit + 1)
    return page([shown(row) for row in rows], limit, lambda row: f"{row['product_id']}/{row['version']}")


@router.get("/terms", response_model=TermsOut, openapi_extra=needs("products.read"))
async def terms_schemas(request: Request) -> dict[str, Any]:
    """JSON schemas of the terms of each kind."""
    async with work(request):
        return {"items": {kind: terms.model_json_schema() for kind, terms in TERMS.items()}}


@router.post("", response_model=ProductOut, status_code=201, openapi_extra=needs("products.write"))
async def create_product(request: Request, body: ProductIn) -> Response:
    """Make a product; it is sold under a version. Needs an Idempotency-Key."""
    async with work(request) as context:
        given = body.model_dump()
        return await retried(
            request, context, lambda: catalogue.create(context, given.pop("product_id"), given.pop("kind"), **given)
        )


@router.post("/comparison", response_model=ComparisonOut, openapi_extra=needs("products.read"))
async def compare_products(request: Request, body: ComparisonIn) -> dict[str, Any]:
    """Side by side for one amount and time: one effective annual rate for all, reckoned the same way."""
    stake = body.amount.money("amount")
    compare.check_stake(stake.minor, body.months)
    items = []
    async with work(request) as context:
        on = await businessday.today(context)
        for place, name in enumerate(body.products):
            version = await _named(context, name, f"products.{place}")
            if version["currency"] != stake.currency:
                raise invalid("amount.currency", f"{name} is in {version['currency']}")
            found = await compare.compared(context, version, stake.minor, body.months, on)
            row = found.row
            items.append(
                {name: version[name] for name in ("product_id", "version", "name_zh", "name_en", "kind", "risk_level")}
                | {
                    "reason": found.reason,
                    "basis": row.basis.value if row else "",
                    "effective_annual_rate": row.rate.percent() if row else None,
                    "gain": Amount.of(row.gain_minor, stake.currency) if row else None,
                    "fees": Amount.of(row.fees_minor, stake.currency) if row else None,
                    "ends": row.ends if row else None,
                    "points": [{"day": day, "worth": Amount.of(worth, stake.currency)} for day, worth in found.points],
                }
            )
    return {"on": on, "items": items}


@router.get("/{product_id}/versions/{version}", response_model=VersionOut, openapi_extra=needs("products.read"))
async def get_version(request: Request, product_id: ProductId, version: VersionNumber) -> Response:
    """One version."""
    async with work(request) as context:
        return _answer(await catalogue.get(context, product_id, version))


@router.post(
    "/{product_id}/versions", response_model=VersionOut, status_code=201, openapi_extra=needs("products.write")
)
async def draft_version(request: Request, product_id: ProductId, body: VersionIn) -> Response:
    """Draft the next version. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def make() -> dict[str, Any]:
            offer = _offer(body, await _currency(context, product_id))
            return shown(await catalogue.draft(context, product_id, body.terms, offer))

        return await retried(request, context, make)


@router.put("/{product_id}/versions/{version}", response_model=VersionOut, openapi_extra=needs("products.write"))
async def edit_version(request: Request, product_id: ProductId, version: VersionNumber, body: VersionIn) -> Response:
    """Change a draft; needs the version that was read (If-Match)."""
    async with work(request) as context:
        at = version_of(request)
        offer = _offer(body, await _currency(context, product_id))
        row = await catalogue.edit(context, product_id, version, at, terms=body.terms, offer=offer)
    return _answer(row)


@router.post(
    "/{product_id}/versions/{version}/submission",
    response_model=ApprovalOut,
    status_code=202,
    openapi_extra=needs("products.write"),
)
async def submit_version(request: Request, product_id: ProductId, version: VersionNumber) -> Response:
    """Hand a draft to a second person. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: catalogue.submit(context, product_id, version), 202)


@router.post("/{product_id}/versions/{version}/moves", response_model=VersionOut, openapi_extra=needs("products.sell"))
async def move_version(request: Request, product_id: ProductId, version: VersionNumber, body: MoveIn) -> Response:
    """Launch, suspend, resume or retire. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def do() -> dict[str, Any]:
            return shown(await catalogue.move(context, product_id, version, Move(body.move)))

        return await retried(request, context, do, 200)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a version with amounts for people."""
    currency = row["currency"]
    result = {name: value for name, value in row.items() if not name.endswith("_minor")}
    quota = row["quota_minor"]
    return result | {
        "minimum": Amount.of(row["minimum_minor"], currency),
        "step": Amount.of(row["step_minor"], currency),
        "quota": None if quota is None else Amount.of(quota, currency),
        "left": None if quota is None else Amount.of(quota - row["sold_minor"], currency),
    }


def _answer(row: Mapping[str, Any]) -> Response:
    body = VersionOut.model_validate(shown(row)).model_dump_json()
    return Response(body, media_type="application/json", headers={"ETag": f'"{row["row_version"]}"'})


async def _named(context: Context, name: str, field: str) -> dict[str, Any]:
    """Find what a comparison names: the version that is on sale, or a given one."""
    product_id, _, version = name.partition("/")
    try:
        if version:
            return await catalogue.get(context, product_id, int(version))
        return await catalogue.on_sale(context, product_id)
    except (Problem, ValueError) as error:
        raise invalid(field, str(error)) from None


async def _currency(context: Context, product_id: str) -> str:
    found = rows_of(await context.connection.execute(products.select().where(products.c.product_id == product_id)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no product {product_id}")
    return str(found[0]["currency"])


def _offer(body: VersionIn, currency: str) -> Offer:
    def minor(field: str, text: str) -> int:
        try:
            return Money.parse(text, currency).minor
        except MoneyError as error:
            raise invalid(field, str(error)) from None

    quota = None if body.quota is None else minor("quota", body.quota)
    return Offer(
        body.risk_level, minor("minimum", body.minimum), minor("step", body.step), quota, body.sale_from, body.sale_to
    )


def _place(text: str | None) -> str:
    """Read a cursor that is a product and a version."""
    if text is None:
        return ""
    try:
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        place = None
    if not isinstance(place, str) or not place.rpartition("/")[2].isdecimal():
        raise invalid("cursor", "not one of this API")
    return place
