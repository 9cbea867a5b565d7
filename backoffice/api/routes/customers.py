"""Customers and branches."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from backoffice import approvals, audit
from backoffice.api.models import ApprovalOut
from backoffice.api.models.customers import (
    BranchesOut,
    BranchIn,
    BranchOut,
    CustomerChangeIn,
    CustomerIn,
    CustomerOut,
    KindsOut,
    ReasonIn,
    StatusIn,
)
from backoffice.api.working import SESSION, needs, retried, version_of, versioned, work
from backoffice.context import Context
from backoffice.customers import service
from backoffice.customers.fields import Fields
from backoffice.customers.identity import KINDS
from backoffice.customers.tables import branches
from backoffice.database import constraint_of, rows_of
from backoffice.problems import Code, Problem, invalid

router = APIRouter(tags=["customers"])
Number = Annotated[int, Path(ge=1, lt=2**63)]
OTHERS = ("branch", "region", "industry", "manager", "tags", "reviewed_on")
"""Members that are not personal."""


async def _close(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await service.close(context, payload["customer_id"], payload["reason"])
    return {"customer_id": row["customer_id"], "status": row["status"]}


async def _release(context: Context, payload: Mapping[str, Any]) -> Any:
    row = await service.release(context, payload["customer_id"], payload["reason"])
    return {"customer_id": row["customer_id"], "status": row["status"]}


approvals.register(approvals.Kind("customer.close", "customers.approve", _close))
approvals.register(approvals.Kind("customer.release", "customers.approve", _release))


@router.post("/customers", response_model=CustomerOut, status_code=201, openapi_extra=needs("customers.write"))
async def create_customer(request: Request, body: CustomerIn) -> Response:
    """Make a prospect. The certificate must be nobody else's. Needs an Idempotency-Key; the answer is masked."""
    fields = Fields(
        name=body.name,
        certificate_number=body.certificate.number,
        certificate_until=body.certificate.until.isoformat() if body.certificate.until else "",
        phone=body.phone,
        email=body.email,
        address=body.address,
        birth_date=body.birth_date.isoformat() if body.birth_date else "",
        gender=body.gender,
        nationality=body.nationality,
        occupation=body.occupation,
        legal_representative=body.legal_representative,
        contact=body.contact,
    )
    async with work(request) as context:
        return await retried(
            request,
            context,
            lambda: service.create(
                context,
                kind=body.kind,
                certificate_kind=body.certificate.kind,
                fields=fields,
                branch=body.branch,
                region=body.region,
                manager=body.manager,
                industry=body.industry,
                tags=body.tags,
            ),
        )


@router.get("/customers/{customer_id}", response_model=CustomerOut, openapi_extra=needs("customers.read"))
async def get_customer(request: Request, customer_id: Number) -> Response:
    """One customer, masked."""
    async with work(request) as context:
        row = await service.get(context, customer_id)
        await audit.record(context, "customers.read", f"customer:{customer_id}")
    return versioned(row)


@router.patch("/customers/{customer_id}", response_model=CustomerOut, openapi_extra=needs("customers.write"))
async def change_customer(request: Request, customer_id: Number, body: CustomerChangeIn) -> Response:
    """Change what is given; needs the version that was read (If-Match). What was before is kept, sealed."""
    version = version_of(request)
    given = body.model_dump(exclude_unset=True)
    missing = [name for name, value in given.items() if value is None and name != "manager"]
    if missing:
        raise invalid(missing[0], "must not be null")
    others = {name: given.pop(name) for name in OTHERS if name in given}
    if "tags" in others:
        others["tags"] = sorted(set(others["tags"]))
    certificate = given.pop("certificate", None)
    if certificate is not None:
        given |= {
            "certificate_number": certificate["number"],
            "certificate_until": certificate["until"].isoformat() if certificate.get("until") else "",
        }
    async with work(request) as context:
        kind = certificate["kind"] if certificate is not None else None
        row = await service.change(context, customer_id, version, personal=given, others=others, certificate_kind=kind)
    return versioned(row)


@router.post("/customers/{customer_id}/unmasking", response_model=CustomerOut, openapi_extra=needs("customers.unmask"))
async def unmask_customer(request: Request, customer_id: Number, body: ReasonIn) -> dict[str, Any]:
    """One customer in clear; the reason goes into the audit log."""
    async with work(request) as context:
        return await service.unmasked(context, customer_id, body.reason)


@router.put("/customers/{customer_id}/status", response_model=CustomerOut, openapi_extra=needs(SESSION))
async def set_customer_status(request: Request, customer_id: Number, body: StatusIn) -> Response:
    """Activate, lay to rest or freeze; needs the version that was read (If-Match)."""
    version = version_of(request)
    async with work(request) as context:
        context.need("customers.freeze" if body.status == "frozen" else "customers.write")
        row = await service.set_status(context, customer_id, body.status, body.reason, version)
    return versioned(row)


@router.post(
    "/customers/{customer_id}/closure",
    response_model=ApprovalOut,
    status_code=202,
    openapi_extra=needs("customers.freeze"),
)
async def close_customer(request: Request, customer_id: Number, body: ReasonIn) -> Response:
    """Ask for a customer without open accounts to be closed; another person decides. Needs an Idempotency-Key."""
    return await _ask(request, customer_id, body.reason, "customer.close", "close")


@router.post(
    "/customers/{customer_id}/release",
    response_model=ApprovalOut,
    status_code=202,
    openapi_extra=needs("customers.freeze"),
)
async def release_customer(request: Request, customer_id: Number, body: ReasonIn) -> Response:
    """Ask for the end of a freeze; another person decides. Needs an Idempotency-Key."""
    return await _ask(request, customer_id, body.reason, "customer.release", "release")


async def _ask(request: Request, customer_id: int, reason: str, kind: str, verb: str) -> Response:
    async with work(request) as context:

        async def ask() -> Any:
            await service.row_of(context, customer_id)
            payload = {"customer_id": customer_id, "reason": reason}
            summary = f"{verb} customer {customer_id}: {reason}"
            row = await approvals.ask(context, kind, f"customer:{customer_id}", summary, payload)
            return await approvals.get(context, row["approval_id"])

        return await retried(request, context, ask, 202)


@router.get("/certificate-kinds", response_model=KindsOut, openapi_extra=needs(SESSION))
async def list_certificate_kinds(request: Request) -> dict[str, Any]:
    """Kinds of certificates, and who has them."""
    async with work(request):
        items = [{"kind": each.name, "of": each.of, "zh": each.zh, "en": each.en} for each in KINDS.values()]
    return {"items": items}


@router.get("/branches", response_model=BranchesOut, openapi_extra=needs(SESSION))
async def list_branches(request: Request) -> dict[str, Any]:
    """All branches."""
    async with work(request) as context:
        return {"items": rows_of(await context.connection.execute(select(branches).order_by(branches.c.branch)))}


@router.post("/branches", response_model=BranchOut, status_code=201, openapi_extra=needs("branches.manage"))
async def create_branch(request: Request, body: BranchIn) -> Response:
    """Open a branch. Needs an Idempotency-Key."""
    async with work(request) as context:

        async def make() -> dict[str, Any]:
            try:
                async with context.connection.begin_nested():
                    statement = insert(branches).values(**body.model_dump()).returning(branches)
                    row = rows_of(await context.connection.execute(statement))[0]
            except IntegrityError as error:
                if constraint_of(error) == "branches_parent_fkey":
                    raise invalid("parent", f"there is no branch {body.parent!r}") from None
                raise Problem(Code.EXISTS, f"there is a branch {body.branch}") from None
            await audit.record(context, "branches.create", f"branch:{body.branch}", body.model_dump())
            return row

        return await retried(request, context, make)
