"""A small stand-in for the server: the envelope, a plain ledger, and faults on demand.

It keeps only the rules that a client depends on (exists, burnt ids, linked chains, order of replies). Everything
else is tested against the real server.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Self

Fault = Callable[["Double", dict[str, Any]], str | None]
"""Looks at a request and names a fault: lose (execute, then cut), cut (do not execute, cut), busy, silent, garbage."""


class Double:
    def __init__(self) -> None:
        self.accounts: dict[int, dict[str, Any]] = {}
        self.transfers: dict[int, dict[str, Any]] = {}
        self.burnt: set[int] = set()
        self.time = 1_000
        self.seq = 0
        self.fault: Fault = lambda _double, _request: None
        self.requests: list[dict[str, Any]] = []
        self.lines: list[bytes] = []
        self.executed: list[tuple[str, int]] = []
        self.connections = 0
        self.key: str | None = None
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=4 * 2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        session = {"on": self.key is None}
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                if not await self._line(line, writer, session):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _line(self, line: bytes, writer: asyncio.StreamWriter, session: dict[str, bool]) -> bool:
        request = json.loads(line)
        self.requests.append(request)
        self.lines.append(line)
        fault = self.fault(self, request)
        if fault == "cut":
            return False
        reply: dict[str, Any] = {"id": request["id"]}
        if fault == "busy":
            reply["error"] = {"code": -32003, "message": "busy"}
        elif request["method"] == "logon":
            session["on"] = request["params"].get("key") == self.key
            if session["on"]:
                reply["result"] = {"channel": request["params"]["channel"], "permissions": [], "protocol": 1}
            else:
                reply["error"] = {"code": -32001, "message": "logon refused"}
        elif not session["on"] and request["method"] != "ping":
            reply["error"] = {"code": -32001, "message": "not logged on"}
        else:
            method: Callable[[Any], Any] | None = getattr(self, "do_" + request["method"], None)
            if method is None:
                reply["error"] = {"code": -32601, "message": f"unknown method {request['method']}"}
            else:
                try:
                    reply["result"] = method(request["params"])
                    reply["seq"] = self.seq
                except ValueError as error:
                    reply["error"] = {"code": -32602, "message": str(error)}
        if fault == "lose":
            return False
        if fault == "silent":
            return True
        if fault == "garbage":
            writer.write(b"not json\n")
        elif fault == "other id":
            writer.write(json.dumps(reply | {"id": 10**9}).encode() + b"\n")
        elif fault == "notify":
            writer.write(b'{"method":"execution","params":{}}\n\n' + json.dumps(reply).encode() + b"\r\n")
        else:
            writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        return True

    # --- methods

    def _tick(self) -> int:
        self.time += 1
        return self.time

    def do_ping(self, _: Any) -> dict[str, int]:
        return {"time": self.time}

    def do_slow(self, params: Any) -> Any:
        self.executed.append(("slow", params["n"]))
        return params

    def do_create_accounts(self, params: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.seq += 1
        answers = []
        for item in params:
            now = self._tick()
            old = self.accounts.get(item["id"])
            if old is not None:
                answers.append({"status": "exists", "timestamp": old["timestamp"]})
                continue
            zero = dict.fromkeys(("debits_pending", "debits_posted", "credits_pending", "credits_posted"), 0)
            self.accounts[item["id"]] = {"flags": [], **item, **zero, "timestamp": now}
            answers.append({"status": "created", "timestamp": now})
        return answers

    def do_create_transfers(self, params: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for place, item in enumerate(params):
            if item["amount"] == 666_666:
                raise ValueError(f"params[{place}].amount: 666666 is not allowed here")
        imported = {"imported" in item.get("flags", []) for item in params}
        assert len(imported) <= 1, "imported and other transfers in one request"
        self.seq += 1
        answers: list[dict[str, Any]] = []
        first = 0
        while first < len(params):
            end = first
            while "linked" in params[end].get("flags", []):
                end += 1
            chain = params[first : end + 1]
            answers += self._chain(chain)
            first = end + 1
        return answers

    def _chain(self, chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
        times = [self._tick() for _ in chain]
        failed: tuple[int, str, int] | None = None
        done: list[dict[str, Any]] = []
        for place, (item, now) in enumerate(zip(chain, times, strict=True)):
            status, timestamp = self._transfer(item, now)
            if status != "created":
                failed = (place, status, timestamp)
                break
            done.append(item)
        if failed is None:
            return [{"status": "created", "timestamp": now} for now in times]
        for item in done:
            del self.transfers[uuid.UUID(item["id"]).int]
            self._move(item, -item["amount"])
        return [
            {"status": failed[1], "timestamp": failed[2]}
            if place == failed[0]
            else {"status": "linked_event_failed", "timestamp": now}
            for place, now in enumerate(times)
        ]

    def _transfer(self, item: dict[str, Any], now: int) -> tuple[str, int]:
        number = uuid.UUID(item["id"]).int
        self.executed.append(("transfer", number))
        old = self.transfers.get(number)
        if old is not None:
            same = old["amount"] == item["amount"]
            return ("exists" if same else "exists_with_different_amount"), old["timestamp"]
        if number in self.burnt:
            return "id_already_failed", now
        debit = self.accounts.get(item["debit_account_id"])
        if debit is None:
            self.burnt.add(number)
            return "debit_account_not_found", now
        if item["credit_account_id"] not in self.accounts:
            self.burnt.add(number)
            return "credit_account_not_found", now
        limited = "debits_must_not_exceed_credits" in debit["flags"]
        if limited and debit["debits_posted"] + item["amount"] > debit["credits_posted"]:
            self.burnt.add(number)
            return "exceeds_credits", now
        self.transfers[number] = {"flags": [], **item, "timestamp": now, "status": "posted"}
        self._move(item, item["amount"])
        return "created", now

    def _move(self, item: dict[str, Any], amount: int) -> None:
        self.accounts[item["debit_account_id"]]["debits_posted"] += amount
        self.accounts[item["credit_account_id"]]["credits_posted"] += amount

    def do_update_accounts(self, params: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.seq += 1
        return [{"status": "updated", "timestamp": self._tick()} for _ in params]

    def do_lookup_accounts(self, params: list[int]) -> list[dict[str, Any] | None]:
        return [self.accounts.get(id_) for id_ in params]

    def do_lookup_transfers(self, params: list[str]) -> list[dict[str, Any] | None]:
        return [self.transfers.get(uuid.UUID(id_).int) for id_ in params]

    def do_get_account_transfers(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        account = params["account_id"]
        return [t for t in self.transfers.values() if account in (t["debit_account_id"], t["credit_account_id"])]


class Once:
    """A fault for the first request that `wanted` accepts, and none afterwards."""

    def __init__(self, fault: str, wanted: Callable[[dict[str, Any]], bool], times: int = 1) -> None:
        self.fault = fault
        self.wanted = wanted
        self.left = times

    def __call__(self, _double: Double, request: dict[str, Any]) -> str | None:
        if self.left and self.wanted(request):
            self.left -= 1
            return self.fault
        return None


def method(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda request: bool(request["method"] == name)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


Action = Callable[[], Awaitable[None]]
