"""`python -m loadtest.locust [OPTIONS]`: Locust with our users.

Without --host it starts a server of its own, with its data in a temporary directory, and stops it afterwards. Unless
the options say otherwise the run is headless, ten seconds long, on a schedule, and fails when a request does.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from loadtest.locust.own_server import OwnServer

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
DEFAULTS = (
    (("--users", "-u"), ("--users", "14")),
    (("--spawn-rate", "-r"), ("--spawn-rate", "14")),
    (("--run-time", "-t"), ("--run-time", "10s")),
    (("--rate", "--depth"), ("--rate", "50")),
    (("--batch",), ("--batch", "100")),
    (("--stop-timeout", "-s"), ("--stop-timeout", "10")),
    (("--check",), ("--check", "errors=0", "--check", "p99=500ms")),
    (("--headless", "--headful", "--autostart"), ("--headless", "--only-summary")),
)
"""Which options keep which defaults away."""
ELSEWHERE = ("--worker", "--master-host", "--help", "-h", "--version", "-V", "--list", "-l", "--config")
"""With these the defaults are not ours to choose."""


def given(arguments: Sequence[str], names: Sequence[str]) -> bool:
    """Whether one of the options is among the arguments."""
    return any(
        argument == name or argument.startswith(f"{name}=") or (len(name) == 2 and argument[:2] == name)
        for argument in arguments
        for name in names
        if not (len(name) == 2 and argument.startswith("--"))
    )


def main(arguments: Sequence[str]) -> int:
    """Run Locust; its exit code."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)]
    elsewhere = given(arguments, ELSEWHERE)
    if not elsewhere:
        for names, options in DEFAULTS:
            if not given(arguments, names):
                command += options
    with ExitStack() as stack:
        if not elsewhere and not given(arguments, ("--host", "-H")) and "LOCUST_HOST" not in os.environ:
            server = stack.enter_context(OwnServer())
            command += ["--host", f"127.0.0.1:{server.port}"]
        locust = subprocess.Popen([*command, *arguments])
        # The terminal's Ctrl-C goes to Locust as well, which then ends in order; so must we.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def forward(number: int, _frame: FrameType | None) -> None:
            locust.send_signal(number)

        signal.signal(signal.SIGTERM, forward)
        return locust.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
