"""Files of payments: upload, findings, progress, reports."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import select

from backoffice.accounts.tables import accounts as account_rows
from backoffice.api.models import Amount
from backoffice.api.models.bulk import BatchDetailOut, BatchesOut, BatchOut, ItemsOut
from backoffice.api.working import PAGE_MAX, needs, number_of, page, retried, work
from backoffice.context import Context
from backoffice.payments import bulk, bulk_run, statements
from backoffice.payments.events import Row
from backoffice.payments.iso20022 import guard, initiation
from backoffice.payments.iso20022.statement import Entry, Statement, write_notifications
from backoffice.payments.iso20022.values import NOT_PROVIDED, Party
from backoffice.payments.limits import day_of
from backoffice.payments.outside import masked_party, party_of
from backoffice.problems import Code, Problem, invalid
from server.client import uuid7

router = APIRouter(prefix="/bulk-payments", tags=["bulk payments"])
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
ID = Annotated[int, Path(ge=1, lt=2**63)]
FILE: Final = {
    "requestBody": {"required": True, "content": {"application/xml": {"schema": {"type": "string"}}}},
}
XML: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/xml": {}}, "description": "An ISO 20022 message"}
}
REFUSED_SHOWN: Final = 100
assert bulk_run.PORTION  # the import registers the work beside requests


@router.post("", response_model=BatchOut, status_code=201, openapi_extra=needs("payments.bulk") | FILE)
async def upload(
    request: Request, *, linked: bool = False, rail: Annotated[str, Query(max_length=32)] = ""
) -> Response:
    """Send a pain.001 (versions 03 to 12) as the body; a second person decides. Needs an Idempotency-Key.

    A file that is refused as a whole, or in part, is an answer of 201 with the reasons. `linked`: all items or none.
    """
    async with work(request):
        pass  # may they at all? Then the body is read, and a connection is not kept for it.
    if int(request.headers.get("content-length") or 0) > guard.BYTES_MAX:
        raise invalid("file", f"more than {guard.BYTES_MAX} bytes")
    content = await request.body()
    if not content.strip():
        raise invalid("file", "is empty")
    # Some seconds for the largest file: beside the loop, and before a connection is taken.
    file = await asyncio.to_thread(initiation.read, content)
    async with work(request) as context:

        async def do() -> Any:
            return _shown(await bulk.take(context, file, content, linked=linked, rail=rail))

        return await retried(request, context, do)


@router.get("", response_model=BatchesOut, openapi_extra=needs("payments.read"))
async def list_batches(
    request: Request,
    *,
    customer: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    state: Literal["", "refused", "waiting", "rejected", "running", "capturing", "undoing", "done"] = "",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Files newest first."""
    async with work(request) as context:
        rows = await bulk.listed(context, customer, state, number_of(cursor), limit + 1)
    answer = page(rows, limit, lambda row: row["batch_id"])
    return answer | {"items": [_shown(row) for row in rows[:limit]]}


@router.get("/{batch_id}", response_model=BatchDetailOut, openapi_extra=needs("payments.read"))
async def get(request: Request, batch_id: ID) -> dict[str, Any]:
    """One file: where its items stand, and the first rows that were refused."""
    async with work(request) as context:
        batch = await bulk.get(context, batch_id)
        refused = await bulk.items_of(context, batch_id, state="refused", limit=REFUSED_SHOWN)
        counts = await bulk.counts(context, batch_id)
        return _shown(batch) | {"counts": counts, "refused": await _items(context, refused)}


@router.get("/{batch_id}/items", response_model=ItemsOut, openapi_extra=needs("payments.read"))
async def list_items(
    request: Request,
    batch_id: ID,
    *,
    state: Literal["", "refused", "ready", "open", "held", "paid", "failed"] = "",
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Items in the order of the file; parties at other banks are masked."""
    async with work(request) as context:
        await bulk.get(context, batch_id)
        rows = await bulk.items_of(context, batch_id, state=state, after=number_of(cursor), limit=limit + 1)
        shown = await _items(context, rows[:limit])
    return page(rows, limit, lambda row: row["place"]) | {"items": shown}


@router.get("/{batch_id}/status.xml", response_class=Response, responses=XML, openapi_extra=needs("payments.read"))
async def status_report(request: Request, batch_id: ID) -> Response:
    """What has become of every row so far, as pain.002 (version 10)."""
    async with work(request) as context:
        content = await bulk.status_report(context, await bulk.get(context, batch_id))
    return _download(content, f"pain002-{batch_id}.xml")


@router.get("/{batch_id}/interbank.xml", response_class=Response, responses=XML, openapi_extra=needs("payments.bulk"))
async def interbank_message(request: Request, batch_id: ID) -> Response:
    """The items to other banks that money is held or paid for, as pacs.008 (version 08)."""
    async with work(request) as context:
        batch = await bulk.get(context, batch_id)
        bank = await statements.our_bank(context, day_of(context.clock()))
        content = await bulk.interbank_message(context, batch, bank)
    if content is None:
        raise Problem(Code.NOT_FOUND, "no item of the file goes to another bank, or none is held yet")
    return _download(content, f"pacs008-{batch_id}.xml")


@router.get(
    "/{batch_id}/notification.xml", response_class=Response, responses=XML, openapi_extra=needs("payments.bulk")
)
async def notification(request: Request, batch_id: ID) -> Response:
    """The items that are paid, as debit entries of the accounts that paid them: camt.054 (version 08)."""
    async with work(request) as context:
        batch = await bulk.get(context, batch_id)
        rows = await bulk.items_of(context, batch_id, state="paid")
        if not rows:
            raise Problem(Code.NOT_FOUND, "nothing of the file is paid yet")
        now = context.clock()
        numbers = await _numbers(context, rows)
        told: list[Statement] = []
        for payer, currency in dict.fromkeys((row["from_account"], row["currency"]) for row in rows):
            own = [row for row in rows if (row["from_account"], row["currency"]) == (payer, currency)]
            entries = tuple([_entry(row, await party_of(context, row), numbers) for row in own])
            told.append(
                Statement(f"B{batch_id}-{len(told) + 1}", Party(batch["sender"], numbers[payer]), currency, entries)
            )
        bank = await statements.our_bank(context, day_of(now))
        content = write_notifications(uuid7().hex, now, bank, told)
    return _download(content, f"camt054-bulk-{batch_id}.xml")


def _entry(row: Row, party: Party | None, numbers: dict[int, str]) -> Entry:
    other = party or Party("", numbers.get(row["to_account"], ""))
    return Entry(
        row["payment"], -row["amount_minor"], row["day"], None, row["end_to_end_id"] or NOT_PROVIDED, row["payment"],
        other, row["remittance"], ("PMNT", "ICDT", "DMCT"),
    )  # fmt: skip


def _shown(batch: Row) -> dict[str, Any]:
    totals = [Amount.of(minor, currency) for currency, minor in sorted(batch["totals"].items())]
    return dict(batch) | {"totals": totals}


async def _numbers(context: Context, rows: Sequence[Row]) -> dict[int, str]:
    ids = {row[side] for row in rows for side in ("from_account", "to_account") if row[side] is not None}
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(ids))
    return {row.account_id: row.number for row in await context.connection.execute(query)}


async def _items(context: Context, rows: Sequence[Row]) -> list[dict[str, Any]]:
    numbers = await _numbers(context, rows)
    shown = []
    for row in rows:
        party = masked_party(row) or Party("", numbers.get(row["to_account"], ""))
        amount = Amount.of(row["amount_minor"], row["currency"]) if row["amount_minor"] is not None else None
        shown.append(dict(row) | {"amount": amount, "to_account": party.account, "to_name": party.name})
    return shown


def _download(content: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/xml", headers=headers)
