"""The plainest client there can be: one socket, one request, one reply. For the run, its set-up and its audits."""

import json
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

ITEMS_MAX = 8_190
"""Items of one request, as the protocol has it."""


BUSY = -32003
BUSY_SECONDS = 60.0


class ChannelError(Exception):
    """The request was answered with an error; `code` tells which."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Reply(dict[str, Any]):
    """The members of one reply."""

    @property
    def seq(self) -> int:
        return int(self["seq"])

    @property
    def result(self) -> Any:
        return self["result"]


class Channel:
    """A connection that asks and waits. Raises OSError when the connection is lost, ChannelError for an error reply."""

    def __init__(self, port: int, *, seconds: float = 30.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._lines = self._socket.makefile("rb")
        self._n = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def call(self, method: str, params: Any = None) -> Reply:
        """Send one request and return its reply; again and again while the server is busy."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._call(method, params)
            except ChannelError as error:
                if error.code != BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def subscribe(self, topic: str, from_seq: int, count: int) -> Iterator[dict[str, Any]]:
        """Subscribe, and yield the params of so many notifications. Raises TimeoutError when fewer come."""
        self._call("subscribe", {"topics": [topic], "from_seq": from_seq})
        for _ in range(count):
            line = self._lines.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the server closed the connection")
            yield json.loads(line)["params"]

    def _call(self, method: str, params: Any) -> Reply:
        self._n += 1
        request: dict[str, Any] = {"id": self._n, "method": method}
        if params is not None:
            request["params"] = params
        self._socket.sendall(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed the connection")
        reply = Reply(json.loads(line))
        if reply.get("id") != self._n:
            raise ChannelError(0, f"a reply to {reply.get('id')!r} came for request {self._n}")
        if "error" in reply:
            raise ChannelError(reply["error"]["code"], reply["error"]["message"])
        return reply
