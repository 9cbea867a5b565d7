"""A server for one run: `tongbao serve --dev` with its data in a temporary directory.

Settings come from the environment as always (TONGBAO_PROFILE=standard, say); the profile is `small` unless it says
otherwise, with room for 16 million transfers.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from server.client import BlockingClient, ClientError

START_SECONDS = 60.0
STOP_SECONDS = 40.0


class OwnServer:
    """Runs while the `with` block does."""

    def __init__(self, connections_max: int = 0) -> None:
        """`connections_max`: so many from this machine at least; 0: what the settings say."""
        self._connections = connections_max
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self._directory = tempfile.TemporaryDirectory(prefix="tongbao-loadtest-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        log = Path(self._directory.name) / "server.log"
        with log.open("wb") as file:
            # In a session of its own: Ctrl-C is for Locust, which needs the server to the end.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", "--dev", "--data-dir", self._directory.name,
                 "--port", str(self.port), "--http-port", "0", "--log-level", "warning"],
                stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True,
                env={"TONGBAO_PROFILE": "small"} | self._room() | os.environ,
            )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        try:
            while True:
                with suppress(ClientError), BlockingClient(port=self.port, connect_deadline_s=0) as client:
                    client.ping()
                    return self
                if self._process.poll() is not None or time.monotonic() > end:
                    words = log.read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"the server did not come up:\n{words}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _room(self) -> dict[str, str]:
        many = str(max(self._connections, 4_096))
        names = ("TONGBAO_CONNECTIONS_MAX", "TONGBAO_CONNECTIONS_ADDRESS_MAX")
        return dict.fromkeys(names, many) if self._connections else {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._directory.cleanup()
