"""What belongs to a customer: history, papers, notes, owners, relations, duplicates, and everything at one glance.

What answers in clear is never stored for retries: an answer that is kept would be personal data at rest.
"""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from backoffice import audit
from backoffice.api.models import Amount, ApprovalOut
from backoffice.api.models.customer_records import (
    ChangesOut,
    CustomersOut,
    DocumentOut,
    DocumentsOut,
    DuplicatesOut,
    LookupIn,
    MergeIn,
    NoteIn,
    NoteMadeOut,
    NotesOut,
    OverviewOut,
    OwnersIn,
    OwnersOut,
    RelationIn,
    RelationOut,
    RelationsOut,
    VersionOut,
)
from backoffice.api.models.customers import CustomerOut, ReasonIn
from backoffice.api.routes.customers import Number
from backoffice.api.working import PAGE_MAX, needs, number_of, office_of, page, retried, version_of, versioned, work
from backoffice.customers import changes, merge, overview, owners, records
from backoffice.privacy import rotation  # noqa: F401 - lets this process follow a new key
from backoffice.problems import invalid
from server.client import AccountView, ClientError

router = APIRouter(tags=["customers"])
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Version = Annotated[int, Path(ge=1, lt=2**31)]
READ, WRITE, UNMASK = needs("customers.read"), needs("customers.write"), needs("customers.unmask")
Row = dict[str, Any]


@router.post("/customers/lookups", response_model=CustomersOut, openapi_extra=READ)
async def look_up(request: Request, body: LookupIn) -> dict[str, Any]:
    """Find by exact certificate, phone or e-mail; at most fifty, masked. Looking up is an entry in the audit log."""
    async with work(request) as context:
        certificate = (body.certificate_kind, body.certificate_number)
        return {"items": await changes.lookup(context, certificate, body.phone, body.email)}


@router.get("/customers/{customer_id}/history", response_model=ChangesOut, openapi_extra=READ)
async def history(request: Request, customer_id: Number, limit: Limit = 50, cursor: str | None = None) -> Row:
    """Who changed the customer when, newest first."""
    async with work(request) as context:
        rows = await changes.listed(context, customer_id, number_of(cursor), limit + 1)
    return page(rows, limit, lambda row: row["change_id"])


@router.post("/customers/{customer_id}/history/{version}/unmasking", response_model=VersionOut, openapi_extra=UNMASK)
async def unmask_history(request: Request, customer_id: Number, version: Version, body: ReasonIn) -> Row:
    """Show in clear what stood there before a change. The audit log keeps who and why."""
    async with work(request) as context:
        return await changes.unmasked(context, customer_id, version, body.reason)


@router.get("/customers/{customer_id}/duplicates", response_model=DuplicatesOut, openapi_extra=READ)
async def duplicates(request: Request, customer_id: Number) -> dict[str, Any]:
    """Customers who may be the same."""
    async with work(request) as context:
        return {"items": await merge.duplicates(context, customer_id)}


@router.post(
    "/customers/{customer_id}/merging",
    response_model=ApprovalOut,
    status_code=202,
    openapi_extra=needs("customers.freeze"),
)
async def merge_customer(request: Request, customer_id: Number, body: MergeIn) -> Response:
    """Ask for merging this customer into another; a second person decides. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: merge.ask(context, customer_id, body.into, body.reason), 202)


@router.get("/customers/{customer_id}/documents", response_model=DocumentsOut, openapi_extra=READ)
async def list_documents(request: Request, customer_id: Number) -> dict[str, Any]:
    """What papers there are, newest first."""
    async with work(request) as context:
        return {"items": await records.documents(context, customer_id)}


@router.post("/customers/{customer_id}/documents", response_model=DocumentOut, status_code=201, openapi_extra=WRITE)
async def add_document(
    request: Request, customer_id: Number, kind: Annotated[str, Query(max_length=30)], expires_on: date | None = None
) -> Response:
    """Keep a paper: the body is the file, Content-Type says what it is. Needs an Idempotency-Key."""
    async with work(request) as context:
        largest = await records.size_max(context)
    await _receive(request, largest)
    async with work(request) as context:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        content = await request.body()
        return await retried(
            request,
            context,
            lambda: records.add_document(context, customer_id, kind, media, content, expires_on=expires_on),
        )


async def _receive(request: Request, largest: int) -> None:
    """Read the body, and no more of it than is taken; outside a transaction, for a sender may be slow."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > largest:
            raise invalid("content", f"from 1 to {largest:,} bytes")
        parts.append(part)
    request._body = b"".join(parts)  # noqa: SLF001 - as Request.body() does


@router.get("/customers/{customer_id}/documents/{document_id}", openapi_extra=UNMASK, response_class=Response)
async def get_document(request: Request, customer_id: Number, document_id: Number) -> Response:
    """Give a paper's content. The audit log keeps who looked."""
    async with work(request) as context:
        about, content, digest = await records.document(context, customer_id, document_id)
    headers = {
        "Content-Disposition": f'attachment; filename="document-{document_id}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Digest": f"sha-256={digest.hex()}",
    }
    return Response(content, media_type=about["media_type"], headers=headers)


@router.get("/customers/{customer_id}/notes", response_model=NotesOut, openapi_extra=READ)
async def list_notes(
    request: Request, customer_id: Number, limit: Limit = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Notes, newest first."""
    async with work(request) as context:
        rows = await records.notes(context, customer_id, number_of(cursor), limit + 1)
    return page(rows, limit, lambda row: row["note_id"])


@router.post("/customers/{customer_id}/notes", response_model=NoteMadeOut, status_code=201, openapi_extra=WRITE)
async def add_note(request: Request, customer_id: Number, body: NoteIn) -> Response:
    """Write a note. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: records.add_note(context, customer_id, body.text))


@router.get("/customers/{customer_id}/owners", response_model=OwnersOut, openapi_extra=READ)
async def list_owners(request: Request, customer_id: Number) -> dict[str, Any]:
    """Owners of an enterprise, masked."""
    async with work(request) as context:
        return {"items": await owners.of(context, customer_id)}


@router.put("/customers/{customer_id}/owners", response_model=CustomerOut, openapi_extra=WRITE)
async def replace_owners(request: Request, customer_id: Number, body: OwnersIn) -> Response:
    """Write down all owners of an enterprise. Needs If-Match."""
    async with work(request) as context:
        given = [each.model_dump() for each in body.owners]
        return versioned(await owners.replace(context, customer_id, version_of(request), given))


@router.get("/customers/{customer_id}/relations", response_model=RelationsOut, openapi_extra=READ)
async def list_relations(request: Request, customer_id: Number) -> dict[str, Any]:
    """Who has to do with a customer."""
    async with work(request) as context:
        return {"items": await owners.relations(context, customer_id)}


@router.post("/customers/{customer_id}/relations", response_model=RelationOut, status_code=201, openapi_extra=WRITE)
async def relate(request: Request, customer_id: Number, body: RelationIn) -> Response:
    """Note what another customer is to this one. Needs an Idempotency-Key."""
    async with work(request) as context:
        return await retried(request, context, lambda: owners.relate(context, customer_id, body.other_id, body.kind))


@router.delete("/customers/{customer_id}/relations/{relation_id}", status_code=204, openapi_extra=WRITE)
async def unrelate(request: Request, customer_id: Number, relation_id: Number) -> Response:
    """Take a relation away."""
    async with work(request) as context:
        await owners.unrelate(context, customer_id, relation_id)
    return Response(status_code=204)


@router.get("/customers/{customer_id}/overview", response_model=OverviewOut, openapi_extra=READ)
async def get_overview(request: Request, customer_id: Number) -> Row:
    """Everything about a customer at one glance, masked, with the ledger's balances."""
    async with work(request) as context:
        found = await overview.of(context, customer_id)
        await audit.record(context, "customers.overview", f"customer:{customer_id}")
    views: dict[int, AccountView] = {}
    answers = True
    try:
        views = await office_of(request).gateway.balances([each["account_id"] for each in found["accounts"]])
    except ClientError:
        answers = False
    nothing = {"balance": None, "available": None}
    held = [
        each | (_balance(each, views.get(each["account_id"])) if answers else nothing) for each in found["accounts"]
    ]
    return found | {"accounts": held, "ledger_answers": answers}


def _balance(account: Row, view: AccountView | None) -> dict[str, Amount]:
    """An account that the engine does not have yet has nothing on it."""
    if view is None:
        nothing = Amount.of(0, account["currency"])
        return {"balance": nothing, "available": nothing}
    if account["kind"] == "loan":
        owed = Amount.of(-view.balance, account["currency"])
        return {"balance": owed, "available": Amount.of(0, account["currency"])}
    return {
        "balance": Amount.of(view.balance, account["currency"]),
        "available": Amount.of(view.balance - view.debits_pending, account["currency"]),
    }
