"""Many callers, few requests: single transfers are sent together.

    async with Batcher(client) as batcher:
        result = await batcher.transfer(Transfer(uuid7(), 1001, 2002, 12500, 156, 10))

The server's own way of batching, one step earlier: while `requests_max` requests are on their way, what callers ask
for accumulates; when an answer arrives, all of it leaves as one request (at most `items_max` items). There is no
timer: a lone transfer leaves at once, and under load batches grow by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from engine.results import TransferFlag
from server.client.client import Client
from server.client.errors import ClientError, ConnectionLost, InvalidParams
from server.client.values import Result, Transfer

BATCH_MAX: Final = 1000
"""Items of one request: large enough that the request's own cost vanishes, small enough to be a short wait."""


class _Entry:
    """Transfers that stay together: one, or a chain."""

    __slots__ = ("future", "imported", "transfers")

    def __init__(self, transfers: list[Transfer], future: asyncio.Future[list[Result]]) -> None:
        self.transfers = transfers
        self.future = future
        self.imported = bool(transfers[0].flags & TransferFlag.IMPORTED)


class Batcher:
    """Groups the transfers of many callers into requests of one client, in the order of the calls.

    A batch holds only imported or only other transfers, as the protocol wants it, and a linked chain is never cut.
    When the server finds a member of a request invalid, the entries of that request are sent one by one, so that
    only the caller who made the mistake hears of it.
    """

    def __init__(self, client: Client, *, items_max: int = BATCH_MAX, requests_max: int = 2) -> None:
        if items_max < 1 or requests_max < 1:
            raise ValueError(f"items_max {items_max} and requests_max {requests_max} must be at least 1")
        self._client = client
        self._items_max = items_max
        self._requests_max = requests_max
        self._queue: deque[_Entry] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._starting = False
        self._closed = False
        self.requests = 0
        self.items = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is queued, wait for the answers, take nothing more. The client stays open."""
        self._closed = True
        while self._requests or self._queue:
            self._start()
            await asyncio.wait(self._requests)

    async def transfer(self, transfer: Transfer) -> Result:
        """Send one transfer. Raises what Client.create_transfers raises."""
        if transfer.flags & TransferFlag.LINKED:
            raise ValueError("a linked transfer needs its chain: use chain()")
        return (await self._entry([transfer]))[0]

    async def chain(self, transfers: Sequence[Transfer]) -> list[Result]:
        """Send transfers that succeed or fail together; the flag `linked` is set here."""
        if not 1 <= len(transfers) <= self._items_max:
            raise ValueError(f"a chain has 1 to {self._items_max} transfers, not {len(transfers)}")
        members = [t._replace(flags=t.flags | TransferFlag.LINKED) for t in transfers[:-1]]
        last = transfers[-1]
        members.append(last._replace(flags=last.flags & ~TransferFlag.LINKED))
        return await self._entry(members)

    async def _entry(self, transfers: list[Transfer]) -> list[Result]:
        if self._closed:
            raise ConnectionLost("the batcher was closed", sent=False)
        loop = asyncio.get_running_loop()
        entry = _Entry(transfers, loop.create_future())
        self._queue.append(entry)
        if not self._starting and len(self._requests) < self._requests_max:
            # At the end of this turn of the loop, so that callers of the same turn share the request.
            self._starting = True
            loop.call_soon(self._start)
        return await entry.future

    def _start(self) -> None:
        """Send what has accumulated, as far as requests may be on their way."""
        self._starting = False
        while self._queue and len(self._requests) < self._requests_max:
            entries: list[_Entry] = []
            count = 0
            while self._queue:
                entry = self._queue[0]
                if not entry.future.done():  # else its caller has given up
                    if entries and (
                        count + len(entry.transfers) > self._items_max or entry.imported != entries[0].imported
                    ):
                        break
                    entries.append(entry)
                    count += len(entry.transfers)
                self._queue.popleft()
            if entries:
                task = asyncio.create_task(self._send(entries))
                self._requests.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._start()

    async def _send(self, entries: list[_Entry]) -> None:
        transfers = [transfer for entry in entries for transfer in entry.transfers]
        self.requests += 1
        self.items += len(transfers)
        try:
            results = await self._client.create_transfers(transfers)
        except InvalidParams as error:
            if len(entries) == 1:
                _fail(entries, error)
            else:
                for entry in entries:
                    await self._send([entry])
        except (ClientError, ValueError) as error:
            _fail(entries, error)
        except BaseException:
            _fail(entries, ConnectionLost("the batcher was cancelled", sent=True))
            raise
        else:
            first = 0
            for entry in entries:
                end = first + len(entry.transfers)
                if not entry.future.done():
                    entry.future.set_result(results[first:end])
                first = end


def _fail(entries: list[_Entry], error: Exception) -> None:
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(error)
