"""Requests that may be sent again: the first one does the work, every other gets its answer.

The answer stands in the commit that did the work, so there is no moment at which the work is done and the answer
unknown. Equal keys at the same time wait for each other on a lock of the key. A key belongs to a user, and to one
request: with another body or path it is refused. What failed is not kept: it may be tried again.
"""

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from sqlalchemy import func, insert, select

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.problems import Code, Problem
from backoffice.tables import idempotency

KEY_MAX = 200


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """Hash what makes two requests the same."""
    return sha256(b"\0".join((method.encode(), path.encode(), body))).digest()


async def once(
    context: Context, key: str, request: bytes, work: Callable[[], Awaitable[tuple[int, Any]]]
) -> tuple[int, Any, bool]:
    """Do the work, or give the answer of when it was done: status, body, and whether it is that of an earlier one."""
    if not key:
        raise Problem(Code.KEY_MISSING)
    if len(key) > KEY_MAX or not key.isprintable():
        raise Problem(Code.INVALID, f"Idempotency-Key: at most {KEY_MAX} printable characters")
    connection = context.connection
    number = int.from_bytes(sha256(f"{context.user_id}\0{key}".encode()).digest()[:8], "big", signed=True)
    await connection.execute(select(func.pg_advisory_xact_lock(number)))
    query = select(idempotency).where(idempotency.c.user_id == context.user_id, idempotency.c.key == key)
    found = rows_of(await connection.execute(query))
    if found:
        if found[0]["request"] != request:
            raise Problem(Code.KEY_REUSED)
        return found[0]["status"], json.loads(found[0]["response"]), True
    status, body = await work()
    values = {
        "user_id": context.user_id, "key": key, "request": request, "status": status,
        "response": json.dumps(body, ensure_ascii=False), "at": context.clock(),
    }  # fmt: skip
    await connection.execute(insert(idempotency).values(**values))
    return status, body, False
