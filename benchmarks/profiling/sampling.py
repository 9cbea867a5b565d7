"""Samples of a running server: perf where it is there and allowed, else py-spy.

perf sees everything: the kernel, the compiled modules, uvloop, CPython, all threads. Of Python functions it sees only
that the interpreter runs (Python 3.11 tells perf nothing; 3.12 would). py-spy names those, together with the compiled
functions that they call, but has no kernel frames, and stops the process for each sample, which shifts shares. Both
unwind by the modules' own tables, so nothing need be compiled in another way: what is profiled is what is shipped.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.profiling.symbols import Frame, frame, owner, tidy

RATE = 499
"""Samples a second; no divisor of what happens at whole milliseconds."""
STACK_BYTES = 16_384
"""Of the stack that perf keeps of each sample, to unwind it afterwards."""
START_SECONDS = 1.0

Stacks = Counter[tuple[Frame, ...]]


class NoSamplesError(RuntimeError):
    """The tool cannot be used here; the text says why."""


class Sampler:
    """Samples one process between `start` and `stop`."""

    name: str
    how: str
    """What the graph's note says."""

    def __init__(self, directory: Path, *, rate: int = RATE) -> None:
        self._directory = directory
        self._rate = rate
        self._pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """Why it cannot be used; empty when it can."""
        raise NotImplementedError

    def command(self, pid: int) -> list[str]:
        """Return what is started, to be ended by SIGINT."""
        raise NotImplementedError

    def stacks(self) -> Stacks:
        """Return what was sampled, root first."""
        raise NotImplementedError

    def start(self, pid: int) -> None:
        """Begin."""
        with (self._directory / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(self.command(pid), stdout=log, stderr=log)
        time.sleep(START_SECONDS)
        if self._process.poll() is not None:
            raise NoSamplesError(f"{self.name} does not run: {self._said()}")

    def stop(self) -> Stacks:
        """End, and return what was sampled."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        stacks = self.stacks()
        if not stacks:
            raise NoSamplesError(f"{self.name} took no samples: {self._said()}")
        return stacks

    def _said(self) -> str:
        return (self._directory / f"{self.name}.log").read_text("utf-8", "replace").strip()[-500:]


class Perf(Sampler):
    """Linux's own profiler, by the CPU's clock: virtual machines often have no counters."""

    name = "perf"
    how = f"perf, cpu-clock, {RATE} Hz, kernel and user."

    @staticmethod
    def missing() -> str:
        """Try it."""
        if shutil.which("perf") is None:
            return "perf is not installed"
        done = subprocess.run(
            ["perf", "record", "-e", "cpu-clock", "-o", "/dev/null", "--", "true"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return f"perf is not allowed (kernel.perf_event_paranoid?): {done.stderr[-300:]}" if done.returncode else ""

    def command(self, pid: int) -> list[str]:
        """Record all threads of the process."""
        self._pid = pid
        return ["perf", "record", "-e", "cpu-clock", "-F", str(self._rate), "--call-graph", f"dwarf,{STACK_BYTES}",
                "-p", str(pid), "-o", str(self._directory / "perf.data")]  # fmt: skip

    def stacks(self) -> Stacks:
        """Have perf unwind what it kept, and read that."""
        done = subprocess.run(
            ["perf", "script", "-i", str(self._directory / "perf.data"), "-F", "comm,tid,ip,sym,dso", "--no-inline"],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return read_perf(done.stdout, self._pid)


_LINE = re.compile(r"^\s+[0-9a-f]+ (.*) \(([^()]*(?:\([^()]*\))?)\)$")


def read_perf(text: str, loop: int) -> Stacks:
    """Read the output of `perf script`: samples separated by empty lines, the innermost frame first.

    `loop` is the thread of the event loop, which is the first one.
    """
    stacks: Stacks = Counter()
    for sample in text.split("\n\n"):
        frames = []
        for line in sample.splitlines():
            found = _LINE.match(line)
            if found is not None:
                frames.append(frame(found[1], found[2]))
        if frames:
            frames.reverse()
            thread = sample.split("\n", 1)[0].split()[-1]
            stacks[(Frame("event loop" if thread == str(loop) else "other threads", "other"), *tidy(frames))] += 1
    return stacks


class PySpy(Sampler):
    """A profiler of Python programs that also unwinds compiled functions."""

    name = "py-spy"
    how = f"py-spy --native, {RATE} Hz, user only."

    @staticmethod
    def missing() -> str:
        """Look for it."""
        return "" if _py_spy() else "py-spy is not installed (pip install py-spy)"

    def command(self, pid: int) -> list[str]:
        """Record; it ends by itself an hour later."""
        return [_py_spy(), "record", "--native", "--threads", "--rate", str(self._rate), "--format", "raw",
                "--duration", "3600", "--output", str(self._directory / "py-spy.txt"), "--pid", str(pid)]  # fmt: skip

    def stacks(self) -> Stacks:
        """Read its folded stacks."""
        return read_folded((self._directory / "py-spy.txt").read_text("utf-8"))


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy") or ""


_IDLE = {"epoll_pwait", "PyThread_acquire_lock_timed"}
"""Waiting, which py-spy takes for work when it looks at compiled functions."""


def read_folded(text: str) -> Stacks:
    """Read lines of `root;…;leaf count`, as py-spy writes them: function (file:line)."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames, waits = [], False
        for each in stack.split(";"):
            symbol, _, place = each.partition(" (")
            waits |= symbol in _IDLE
            file = place.rstrip(")").split(":", 1)[0]
            if symbol.startswith("0x") or file in {"object.h", "queue.h"}:
                continue
            frames.append(Frame(symbol if not file.endswith(".py") else f"{symbol} ({file})", _owner(symbol, file)))
        if count.isdigit() and frames and not waits:
            loop = any(each.name == "uv_run" for each in frames)
            stacks[(Frame("event loop" if loop else "other threads", "other"), *tidy(frames))] += int(count)
    return stacks


def _owner(symbol: str, file: str) -> str:
    if file.endswith(".py"):
        return "Tongbao" if file.startswith(("engine/", "server/")) else "CPython"
    if file in _LIBUV:
        return "uvloop"
    return owner(symbol, f"/{file}")


_LIBUV = {"loop.c", "core.c", "linux.c", "stream.c", "loop-watcher.c", "tcp.c", "poll.c", "timer.c", "async.c"}


SAMPLERS: dict[str, type[Sampler]] = {"perf": Perf, "py-spy": PySpy}


def choose(wanted: str, directory: Path) -> tuple[Sampler, str]:
    """Return the sampler to use, and why it is this one. Raises NoSamplesError when there is none."""
    reasons: list[str] = []
    for name in [wanted] if wanted else SAMPLERS:
        missing = SAMPLERS[name].missing()
        if not missing:
            why = "asked for" if wanted else "; ".join([*reasons, f"{name} is there"])
            return SAMPLERS[name](directory), why
        reasons.append(missing)
    raise NoSamplesError("; ".join(reasons))
