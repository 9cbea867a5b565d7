"""A server of one's own in a temporary directory: for examples and tests."""

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from server.client import BlockingClient, ClientError

START_SECONDS = 60.0
STOP_SECONDS = 40.0


def free_port() -> int:
    """Give a TCP port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class LocalServer:
    """Runs `tongbao serve` as a process of its own; may be killed and started again on the same data."""

    def __init__(
        self, data_dir: Path | None = None, *flags: str, dev: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        """Without `data_dir` the data are in a temporary directory that goes away with the server."""
        self.host = "127.0.0.1"
        self.port = free_port()
        self.http_port = free_port()
        self._flags = ("--dev", *flags) if dev else flags
        self._tls = tls
        self._temporary = Path(tempfile.mkdtemp(prefix="tongbao-")) if data_dir is None else None
        self.data_dir = data_dir or self._temporary or Path()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers `ping`; RuntimeError with its last words when it does not come up."""
        command = [
            sys.executable, "-m", "server.cli", "serve", "--profile", "small",
            "--data-dir", str(self.data_dir), "--port", str(self.port), "--http-port", str(self.http_port),
            "--log-level", "warning", *self._flags,
        ]  # fmt: skip
        self.data_dir.mkdir(parents=True, exist_ok=True)
        log = self.data_dir / "server.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                with BlockingClient(self.host, self.port, tls=self._tls, connect_deadline_s=0, deadline_s=5) as client:
                    client.ping()
                    return
            except ClientError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.kill()
                    words = log.read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"the server did not come up:\n{words}") from None
                time.sleep(0.05)

    def stop(self) -> int:
        """Stop it in order; give its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the server did not stop within {STOP_SECONDS:g} s") from None
        self.process = None
        return code

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._remove()

    def _remove(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
