"""The outbox at work: orders go to rails at least once, each under its one reference, until there is an answer.

A row is leased by moving its next turn ahead, in a commit of its own, and no lock is held while the rail thinks; who
is killed meanwhile leaves a row that comes up again. From the second turn on an order may have arrived, so the rail is
asked first. A result that is not known is never taken for one: no answer in time is work for a person, and nothing is
undone or booked. Orders of one payment go one after another.
"""

import asyncio
import json
import random
from datetime import date, timedelta
from typing import Any, Final

import httpx
import structlog
from pydantic import ValidationError
from sqlalchemy import select, text, update

from backoffice import audit
from backoffice.background import Services, background, system
from backoffice.cases.service import open_case
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.payments.tables import payments
from backoffice.privacy.keyring import KeyFaultError
from backoffice.problems import Code, Problem
from backoffice.rails import inbox, service
from backoffice.rails.adapters import ADAPTERS
from backoffice.rails.signing import Call, KeyFileError, sign
from backoffice.rails.tables import outbox
from backoffice.rails.wire import AnswerOut, Operation, Status

log = structlog.get_logger("tongbao.office.rails")
Row = dict[str, Any]
AT_ONCE: Final = 8
TIMEOUT_S: Final = 4.0
LEASE_S: Final = 15.0
"""Longer than two requests may take."""
FIRST_WAIT_S: Final = 0.2
WAIT_S_MAX: Final = 60.0
ANSWER_BYTES_MAX: Final = 262_144
FILE_BYTES_MAX: Final = 64 * 2**20
FILE_TIMEOUT_S: Final = 60.0

_DUE = text(
    """
    UPDATE office.rail_outbox SET attempts = attempts + 1, next_at = CAST(:now AS timestamptz) + :lease
    WHERE reference IN (
        SELECT o.reference FROM office.rail_outbox o JOIN office.rails r ON r.name = o.rail
        WHERE o.rail = :rail AND o.state IN ('waiting', 'pending') AND o.next_at <= :now
          AND NOT r.paused AND r.url <> ''
          AND NOT EXISTS (SELECT FROM office.rail_outbox e WHERE e.payment_id = o.payment_id AND e.seq < o.seq
                          AND e.state IN ('waiting', 'pending'))
        ORDER BY o.next_at LIMIT :most FOR UPDATE OF o SKIP LOCKED)
    RETURNING *
    """
)


class RailAwayError(Exception):
    """The rail gave no answer that says what has happened."""


class RailRefusesError(Exception):
    """The rail does not understand the order: sending it again will not help."""


class RailClient:
    """Signed requests to one rail."""

    def __init__(self, services: Services, rail: Row, http: httpx.AsyncClient) -> None:
        self._services = services
        self._rail = rail
        self._http = http

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask; (status, content). Raises RailAwayError when there is no answer, or one that is too long."""
        return await self._ask(method, path, body, ANSWER_BYTES_MAX, TIMEOUT_S)

    async def file(self, day: date) -> tuple[int, bytes]:
        """Get a settlement file; (status, content). Raises RailAwayError."""
        return await self._ask("GET", f"/file?day={day}", b"", FILE_BYTES_MAX, FILE_TIMEOUT_S)

    async def _ask(self, method: str, path: str, body: bytes, bytes_max: int, timeout_s: float) -> tuple[int, bytes]:
        try:
            keys = service.keys_of(self._services.settings, self._rail["name"])
        except KeyFileError as error:
            raise RailAwayError(str(error)) from None
        headers = sign(keys, Call(method, path, body), self._services.clock())
        headers["content-type"] = "application/json"
        url = self._rail["url"].rstrip("/") + path
        content = bytearray()
        try:
            async with asyncio.timeout(timeout_s):
                async with self._http.stream(method, url, content=body, headers=headers) as response:
                    async for part in response.aiter_bytes():
                        content += part
                        if len(content) > bytes_max:
                            raise RailAwayError(f"the answer is longer than {bytes_max} bytes")
                    return response.status_code, bytes(content)
        except (httpx.HTTPError, TimeoutError) as error:
            raise RailAwayError(type(error).__name__) from None

    async def order(self, row: Row) -> AnswerOut:
        """Send an order, or ask what became of it if it may have arrived.

        With what is paid, or who, is read from the payment each time, where it is sealed; it never changes there.
        """
        if row["attempts"] > 1:
            status, content = await self.ask("GET", f"/operations/{row['reference']}")
            if status != 404:
                return self._answer(row, status, content)
        order = row["body"]
        if row["operation"] == Operation.AUTHORISE:
            try:
                async with system(self._services) as context:
                    query = select(payments).where(payments.c.payment_id == row["payment_id"])
                    payment = rows_of(await context.connection.execute(query))[0]
                    order |= {"instrument": await ADAPTERS[row["rail"]].instrument(context, payment)}
            except KeyFaultError as error:
                raise RailAwayError(f"the payee cannot be read: {error}") from None
        body = json.dumps(order, ensure_ascii=False).encode()
        return self._answer(row, *await self.ask("POST", "/operations", body))

    @staticmethod
    def _answer(row: Row, status: int, content: bytes) -> AnswerOut:
        if status in {400, 409, 413, 422}:
            raise RailRefusesError(f"status {status}")
        if status != 200:
            raise RailAwayError(f"status {status}")
        try:
            answer = AnswerOut.model_validate_json(content)
        except ValidationError as error:
            raise RailAwayError(f"the answer cannot be read: {error.error_count()} faults") from None
        if answer.reference != row["reference"]:
            raise RailAwayError("the answer is for another order")
        return answer


def http_client() -> httpx.AsyncClient:
    """Make a client that goes where it is told and nowhere else: no proxies, no redirects."""
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=TIMEOUT_S)


async def send_due(services: Services, name: str) -> bool:
    """Send what is due for a rail; True: there may be more."""
    async with system(services) as context:
        values = {"now": services.clock(), "lease": timedelta(seconds=LEASE_S), "rail": name, "most": AT_ONCE}
        due = rows_of(await context.connection.execute(_DUE, values))
        rail = await service.get(context, name) if due else {}
    if not due:
        return False
    async with http_client() as http:
        client = RailClient(services, rail, http)
        await asyncio.gather(*(_send_one(services, client, row) for row in due))
    return len(due) == AT_ONCE


async def _send_one(services: Services, client: RailClient, row: Row) -> None:
    try:
        answer = await client.order(row)
    except RailAwayError as error:
        await _not_known(services, row, str(error))
        return
    except RailRefusesError as error:
        async with system(services) as context:
            await _give_up(context, row, f"the rail does not take the order: {error}")
        return
    now = services.clock()
    async with system(services) as context:
        new = await inbox.keep(context, row["rail"], answer.events, "answer")
        if answer.status is Status.PENDING and now < row["give_up_at"]:
            values: dict[str, Any] = {"state": "pending", "next_at": now + _wait(row["attempts"])}
        elif answer.status is Status.PENDING:
            await _give_up(context, row, "the rail has not decided")
            return
        else:
            values = {"state": answer.status.value, "answered_at": now}
        values |= {"answer": answer.model_dump(mode="json"), "last_error": ""}
        await context.connection.execute(_of(row).values(**values))
    for event_id in new:
        await inbox.apply_soon(services, row["rail"], event_id)


def _of(row: Row) -> Any:
    """Change an order that nobody has answered meanwhile."""
    return update(outbox).where(
        outbox.c.reference == row["reference"], outbox.c.state.in_(["waiting", "pending", "given_up"])
    )


def _wait(attempts: int) -> timedelta:
    """Twice as long each time, up to a minute, give or take half: so that many do not come back together."""
    seconds = min(WAIT_S_MAX, FIRST_WAIT_S * 2 ** min(attempts - 1, 20))
    return timedelta(seconds=seconds * random.uniform(0.5, 1.5))  # noqa: S311 - nothing secret


async def _not_known(services: Services, row: Row, words: str) -> None:
    now = services.clock()
    log.info("rail_without_answer", rail=row["rail"], reference=row["reference"], attempts=row["attempts"], why=words)
    async with system(services) as context:
        if now >= row["give_up_at"]:
            await _give_up(context, row, f"no answer: {words}")
            return
        await context.connection.execute(_of(row).values(next_at=now + _wait(row["attempts"]), last_error=words[:500]))


async def _give_up(context: Context, row: Row, words: str) -> None:
    """Leave it to a person: what the rail has done is not known here, and nothing is guessed."""
    await context.connection.execute(_of(row).values(state="given_up", last_error=words[:500]))
    await open_case(
        context, "reconciliation", f"rail:{row['rail']}:{row['reference']}:{row['attempts']}",
        subject=f"rail:{row['rail']}", summary=f"{row['rail']}: {row['operation']} {row['reference']}: {words}"[:500],
        detail={"reference": row["reference"], "payment_id": row["payment_id"], "attempts": row["attempts"]},
    )  # fmt: skip


async def ask_again(context: Context, name: str, reference: str) -> Row:
    """Take up an order that was given up: the rail is asked what became of it, and sent it if it never came."""
    now = context.clock()
    again = (
        update(outbox)
        .where(outbox.c.rail == name, outbox.c.reference == reference, outbox.c.state == "given_up")
        .values(state="waiting", next_at=now, give_up_at=now + timedelta(days=1))
        .returning(outbox)
    )
    found = rows_of(await context.connection.execute(again))
    if not found:
        raise Problem(Code.STATE, f"there is no order {reference} that was given up")
    await audit.record(context, "rails.ask_again", f"rail:{name}", {"reference": reference})
    return found[0]


def _register(name: str) -> None:
    """One piece of work for each rail: one that does not answer holds up no other."""

    @background(f"rail_outbox_{name}", every_s=0.2)
    async def work(services: Services) -> bool:
        return await send_due(services, name)


for _name in ADAPTERS:
    _register(_name)
