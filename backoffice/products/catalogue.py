"""The catalogue: products, their versions, who approves them, and how much of them is left to sell.

A version's terms can be edited while it is a draft and never again. Contracts name their version, so what is approved
later changes nothing for them. Of a product one version at most is on sale (an index), and no more of it is sold than
its quota (a constraint), whoever asks at the same time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backoffice import approvals, audit, businessday
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.money import LEDGERS
from backoffice.problems import Code, Problem, invalid
from backoffice.products import terms as typed
from backoffice.products.lifecycle import MOVES, Move, State
from backoffice.products.tables import products, versions

DEPOSITS: Final = frozenset({"demand", "term", "notice", "card"})
"""Kinds that promise the principal."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a version says beside its terms. Amounts in minor units of the product's currency."""

    risk_level: int
    minimum_minor: int = 0
    step_minor: int = 1
    quota_minor: int | None = None
    sale_from: date | None = None
    sale_to: date | None = None

    def check(self, kind: str) -> None:
        """Raise Problem for what cannot be offered."""
        if not 1 <= self.risk_level <= 5:
            raise invalid("risk_level", f"R{self.risk_level} is none of R1 to R5")
        if kind in DEPOSITS and self.risk_level != 1:
            raise invalid("risk_level", "deposits are R1")
        if self.step_minor <= 0:
            raise invalid("step", "is not above zero")
        if self.minimum_minor < 0 or self.minimum_minor % self.step_minor:
            raise invalid("minimum", "is not a multiple of the step")
        if self.quota_minor is not None and self.quota_minor < 0:
            raise invalid("quota", "is below zero")
        if self.sale_from is not None and self.sale_to is not None and self.sale_to < self.sale_from:
            raise invalid("sale_to", "is before sale_from")


async def create(
    context: Context, product_id: str, kind: str, *, name_zh: str, name_en: str, currency: str = "CNY", issuer: str = ""
) -> dict[str, Any]:
    """Make a product without versions. Problem when it is there already."""
    if kind not in typed.TERMS:
        raise invalid("kind", f"{kind!r} is none of {', '.join(typed.TERMS)}")
    if currency not in LEDGERS:
        raise invalid("currency", f"{currency!r} is none of {', '.join(LEDGERS)}")
    values = {
        "product_id": product_id, "kind": kind, "name_zh": name_zh, "name_en": name_en, "currency": currency,
        "issuer": issuer, "made_at": context.clock(),
    }  # fmt: skip
    try:
        async with context.connection.begin_nested():
            made = rows_of(await context.connection.execute(insert(products).values(**values).returning(products)))[0]
    except IntegrityError:
        raise Problem(Code.EXISTS, f"there is a product {product_id}") from None
    await audit.record(context, "products.create", f"product:{product_id}", {"kind": kind})
    return made


async def draft(context: Context, product_id: str, terms: Mapping[str, Any], offer: Offer) -> dict[str, Any]:
    """Make the next version of a product as a draft."""
    query = select(products).where(products.c.product_id == product_id).with_for_update()
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no product {product_id}")
    offer.check(found[0]["kind"])
    read = typed.read(found[0]["kind"], terms)
    newest = select(func.coalesce(func.max(versions.c.version), 0)).where(versions.c.product_id == product_id)
    number = int(await context.connection.scalar(newest) or 0) + 1
    values = asdict(offer) | {
        "product_id": product_id, "version": number, "terms": typed.stored(read), "maker": context.actor.user_id,
        "made_at": context.clock(),
    }  # fmt: skip
    await context.connection.execute(insert(versions).values(**values))
    await audit.record(context, "products.draft", f"product:{product_id}/{number}", {})
    return await get(context, product_id, number)


async def edit(
    context: Context, product_id: str, version: int, row_version: int, *, terms: Mapping[str, Any], offer: Offer
) -> dict[str, Any]:
    """Change a draft that is at `row_version`."""
    row = await _locked(context, product_id, version)
    if row["row_version"] != row_version:
        raise Problem(Code.CHANGED, f"it is at version {row['row_version']}")
    _allowed(row, Move.EDIT)
    offer.check(row["kind"])
    values = asdict(offer) | {"terms": typed.stored(typed.read(row["kind"], terms)), "maker": context.actor.user_id}
    await _write(context, row, values, "edit")
    return await get(context, product_id, version)


async def submit(context: Context, product_id: str, version: int) -> dict[str, Any]:
    """Hand a draft to a second person; gives the approval."""
    row = await _locked(context, product_id, version)
    _allowed(row, Move.SUBMIT)
    await _write(context, row, {"state": State.SUBMITTED, "maker": context.user_id}, "submit")
    payload = {"product_id": product_id, "version": version}
    summary = f"{row['name_en']} ({product_id}) version {version}: R{row['risk_level']}, {row['terms']}"
    made = await approvals.ask(context, "product.version", f"product:{product_id}/{version}", summary[:500], payload)
    return await approvals.get(context, made["approval_id"])


async def move(context: Context, product_id: str, version: int, step: Move) -> dict[str, Any]:
    """Launch, suspend, resume or retire. What is launched takes the place of the version that was on sale."""
    row = await _locked(context, product_id, version)
    state = _allowed(row, step)
    if step is Move.LAUNCH:
        others = select(versions.c.version).where(
            versions.c.product_id == product_id, versions.c.state.in_([State.ON_SALE, State.SUSPENDED])
        )
        for other in (await context.connection.execute(others)).scalars().all():
            await _write(context, await _locked(context, product_id, other), {"state": State.RETIRED}, Move.RETIRE)
    await _write(context, row, {"state": state}, step)
    return await get(context, product_id, version)


async def _approved(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await _locked(context, payload["product_id"], payload["version"])
    _allowed(row, Move.APPROVE)
    values = {"state": State.APPROVED, "checker": context.actor.user_id, "decided_at": context.clock()}
    await _write(context, row, values, Move.APPROVE)
    return {"product_id": row["product_id"], "version": row["version"], "state": State.APPROVED}


async def _refused(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await _locked(context, payload["product_id"], payload["version"])
    _allowed(row, Move.REJECT)
    await _write(context, row, {"state": State.DRAFT}, Move.REJECT)
    return {"product_id": row["product_id"], "version": row["version"], "state": State.DRAFT}


approvals.register(approvals.Kind("product.version", "products.approve", _approved, _refused))

# --- reading --------------------------------------------------------------------------------------

_JOINED: Final = select(
    versions, products.c.kind, products.c.name_zh, products.c.name_en, products.c.currency, products.c.issuer
).join(products, products.c.product_id == versions.c.product_id)


async def get(context: Context, product_id: str, version: int) -> dict[str, Any]:
    """One version with its product; Problem when there is none."""
    query = _JOINED.where(versions.c.product_id == product_id, versions.c.version == version)
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no version {version} of a product {product_id}")
    return found[0]


async def on_sale(context: Context, product_id: str) -> dict[str, Any]:
    """The version that is sold today; Problem when there is none."""
    today = await businessday.today(context)
    query = _JOINED.where(versions.c.product_id == product_id, versions.c.state == State.ON_SALE, _window(today))
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.STATE, f"{product_id} is not on sale")
    return found[0]


async def listed(
    context: Context, *, kind: str = "", state: str = "", text: str = "", after: str = "", limit: int
) -> list[dict[str, Any]]:
    """Versions by product and number, behind `after` (product/version); `state` "" means all but drafts' history."""
    query = _JOINED.order_by(versions.c.product_id, versions.c.version).limit(limit)
    if kind:
        query = query.where(products.c.kind == kind)
    if state:
        query = query.where(versions.c.state == state)
    if text:
        like = f"%{text.replace('%', '').replace('_', '')}%"
        query = query.where(
            or_(products.c.name_zh.ilike(like), products.c.name_en.ilike(like), products.c.product_id.ilike(like))
        )
    if after:
        product_id, _, version = after.rpartition("/")
        query = query.where(
            or_(
                versions.c.product_id > product_id,
                and_(versions.c.product_id == product_id, versions.c.version > int(version)),
            )
        )
    return rows_of(await context.connection.execute(query))


def _window(today: date) -> Any:
    return and_(
        or_(versions.c.sale_from.is_(None), versions.c.sale_from <= today),
        or_(versions.c.sale_to.is_(None), versions.c.sale_to >= today),
    )


# --- quotas ---------------------------------------------------------------------------------------


async def take(context: Context, row: Mapping[str, Any], minor: int) -> None:
    """Take some of a version's quota, in the transaction of the sale. Problem when it is no longer there or on sale.

    One statement checks and takes: of two that ask for the last of it one waits for the other, and gets nothing.
    """
    today = await businessday.today(context)
    statement = (
        update(versions)
        .where(
            _named(row), versions.c.state == State.ON_SALE, _window(today),
            or_(versions.c.quota_minor.is_(None), versions.c.sold_minor + minor <= versions.c.quota_minor),
        )
        .values(sold_minor=versions.c.sold_minor + minor)
    )  # fmt: skip
    if not (await context.connection.execute(statement)).rowcount:
        now = await get(context, row["product_id"], row["version"])
        if now["state"] != State.ON_SALE:
            raise Problem(Code.STATE, f"{row['product_id']} is {now['state']}", more={"state": now["state"]})
        left = None if now["quota_minor"] is None else now["quota_minor"] - now["sold_minor"]
        raise Problem(Code.SOLD_OUT, f"{row['product_id']}: less than that is left", more={"left_minor": left})


async def give_back(context: Context, product_id: str, version: int, minor: int) -> None:
    """Give some of a quota back, of a sale that did not come about."""
    at = and_(versions.c.product_id == product_id, versions.c.version == version)
    await context.connection.execute(update(versions).where(at).values(sold_minor=versions.c.sold_minor - minor))


# --- writing --------------------------------------------------------------------------------------


def _named(row: Mapping[str, Any]) -> Any:
    return and_(versions.c.product_id == row["product_id"], versions.c.version == row["version"])


async def _locked(context: Context, product_id: str, version: int) -> dict[str, Any]:
    at = and_(versions.c.product_id == product_id, versions.c.version == version)
    found = rows_of(await context.connection.execute(_JOINED.where(at).with_for_update(of=versions)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no version {version} of a product {product_id}")
    return found[0]


def _allowed(row: Mapping[str, Any], step: Move) -> State:
    state = MOVES.get((State(row["state"]), step))
    if state is None:
        raise Problem(Code.STATE, f"it is {row['state']}: no {step}", more={"state": row["state"]})
    return state


async def _write(context: Context, row: Mapping[str, Any], values: Mapping[str, Any], action: str) -> None:
    change = update(versions).where(_named(row)).values(**values, row_version=row["row_version"] + 1)
    await context.connection.execute(change)
    subject = f"product:{row['product_id']}/{row['version']}"
    await audit.record(context, f"products.{action}", subject, {"from": row["state"]})
