"""Papers and notes of a customer: sealed whole, listed without their content."""

from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import insert, select

from backoffice import audit, businessday, parameters
from backoffice.context import Context
from backoffice.customers.service import row_of
from backoffice.customers.tables import customer_documents, customer_notes
from backoffice.database import rows_of
from backoffice.privacy.keyring import KeyFaultError
from backoffice.privacy.rows import next_number, opened, seal
from backoffice.problems import Code, Problem, invalid

Row = dict[str, Any]
KINDS: Final = ("certificate", "licence", "proof_of_address", "proof_of_income", "authorisation", "contract", "other")
MEDIA: Final = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "text/plain": b"",
}
"""Kinds of files that are taken, and how each begins."""
HASH_BYTES: Final = 32
NOTE_MAX: Final = 4000
_ABOUT: Final = ("document_id", "customer_id", "kind", "media_type", "bytes", "expires_on", "user_name", "at")


async def size_max(context: Context) -> int:
    """Largest paper that is taken, in bytes."""
    return int(await parameters.value(context, "customers.document_bytes", await businessday.today(context)))


async def add_document(
    context: Context, customer_id: int, kind: str, media_type: str, content: bytes, *, expires_on: date | None
) -> Row:
    """Keep a paper; give what is known of it without its content."""
    if (await row_of(context, customer_id))["status"] == "closed":
        raise Problem(Code.STATE, f"customer {customer_id} is closed", more={"state": "closed"})
    if kind not in KINDS:
        raise invalid("kind", f"none of {', '.join(KINDS)}")
    if media_type not in MEDIA:
        raise invalid("content-type", f"none of {', '.join(MEDIA)}")
    largest = await size_max(context)
    if not 0 < len(content) <= largest:
        raise invalid("content", f"from 1 to {largest:,} bytes")
    if not content.startswith(MEDIA[media_type]):
        raise invalid("content", f"is no {media_type}")
    if media_type == "text/plain":
        _text(content)
    if expires_on is not None and expires_on < await businessday.today(context):
        raise invalid("expires_on", "is over")
    number = await next_number(context, customer_documents)
    values = seal(context, customer_documents, number, sha256(content).digest() + content) | {
        "document_id": number, "customer_id": customer_id, "kind": kind, "media_type": media_type,
        "bytes": len(content), "expires_on": expires_on, "user_id": context.actor.user_id,
        "user_name": context.actor.name, "at": context.clock(),
    }  # fmt: skip
    made = insert(customer_documents).values(**values).returning(customer_documents)
    found = rows_of(await context.connection.execute(made))[0]
    detail = {"document": number, "kind": kind, "bytes": len(content)}
    await audit.record(context, "customers.document", f"customer:{customer_id}", detail)
    return _about(found)


async def documents(context: Context, customer_id: int) -> list[Row]:
    """What papers there are, newest first."""
    await row_of(context, customer_id)
    query = select(*(customer_documents.c[name] for name in _ABOUT)).where(
        customer_documents.c.customer_id == customer_id
    )
    return rows_of(await context.connection.execute(query.order_by(customer_documents.c.document_id.desc())))


async def document(context: Context, customer_id: int, document_id: int) -> tuple[Row, bytes, bytes]:
    """Give a paper with its content and the SHA-256 that it had when it came; the audit log tells who looked."""
    table = customer_documents
    query = select(table).where(table.c.document_id == document_id, table.c.customer_id == customer_id)
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"customer {customer_id} has no document {document_id}")
    clear = await opened(context, customer_documents, document_id, found[0])
    digest, content = clear[:HASH_BYTES], clear[HASH_BYTES:]
    if sha256(content).digest() != digest:
        raise KeyFaultError(f"document {document_id} is not what came in")
    await audit.record(context, "customers.document_read", f"customer:{customer_id}", {"document": document_id})
    return _about(found[0]), content, digest


async def add_note(context: Context, customer_id: int, text: str) -> Row:
    """Write a note, which nobody changes afterwards; give its number, who and when."""
    await row_of(context, customer_id)
    if not text.strip() or len(text) > NOTE_MAX:
        raise invalid("text", f"from 1 to {NOTE_MAX} characters")
    number = await next_number(context, customer_notes)
    about = {"note_id": number, "user_name": context.actor.name, "at": context.clock()}
    values = seal(context, customer_notes, number, text.strip().encode()) | about
    values |= {"customer_id": customer_id, "user_id": context.actor.user_id}
    await context.connection.execute(insert(customer_notes).values(**values))
    await audit.record(context, "customers.note", f"customer:{customer_id}", {"note": number})
    return about


async def notes(context: Context, customer_id: int, before: int | None, limit: int) -> list[Row]:
    """Notes, newest first."""
    await row_of(context, customer_id)
    query = select(customer_notes).where(customer_notes.c.customer_id == customer_id)
    if before is not None:
        query = query.where(customer_notes.c.note_id < before)
    rows = rows_of(await context.connection.execute(query.order_by(customer_notes.c.note_id.desc()).limit(limit)))
    names = ("note_id", "user_name", "at")
    return [
        {name: row[name] for name in names}
        | {"text": (await opened(context, customer_notes, row["note_id"], row)).decode()}
        for row in rows
    ]


def _about(row: Mapping[str, Any]) -> Row:
    return {name: row[name] for name in _ABOUT}


def _text(content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid("content", "is no UTF-8") from None
