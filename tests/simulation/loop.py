"""An event loop for many processes in one, on virtual time.

Every process of a simulated world is a *node*: it has a ready queue of its own, so that what one loop guarantees (what
was made ready first runs first) holds within a node, and nothing is promised between nodes: the seed chooses which
node runs its next turn. When no node has anything to run, time jumps to the next timer.

A node may be paused (its turns wait, timers included, while time goes on for everybody else) or killed (it never runs
again: no `finally`, no `except`, no last word). What a killed node leaves, its tasks and everything they hold, is kept
until the world ends: Python would otherwise run the `finally` clauses of a process that is dead.
"""

import asyncio
import heapq
import signal
import sys
from asyncio import events, tasks
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, TypeVar, cast

T = TypeVar("T")

BEGIN = 1_000.0
"""Monotonic time at which a world begins."""
EPOCH_NS = 1_800_000_000_000_000_000
"""Wall time at that moment: 2027."""
THREAD_SECONDS = 0.000_2
"""How long what goes into a thread takes."""


class Node:
    """One process, or the machine that the database is."""

    __slots__ = ("clock_ns", "dead", "graveyard", "loop", "name", "paused", "ready", "signals", "tasks", "tasks_kept")

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.loop = loop
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.dead = False
        self.paused = False
        self.clock_ns = 0
        """How far its wall clock is ahead."""
        self.signals: dict[int, Callable[[], None]] = {}
        self.tasks: list[asyncio.Task[Any]] = []
        self.tasks_kept = 64
        self.graveyard: list[object] = []

    def pause(self) -> None:
        """Run nothing of it until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Let it go on, with everything that has become due meanwhile."""
        self.paused = False
        if self.ready:
            self.loop.wake(self)

    def kill(self) -> None:
        """Never run anything of it again."""
        self.dead = True
        self.graveyard += [*self.ready, *self.tasks]
        self.ready.clear()

    def terminate(self) -> None:
        """Send it SIGTERM."""
        if (handler := self.signals.get(signal.SIGTERM)) is not None:
            self.loop.on(self, 0.0, handler)


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the head of this file."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self.now = BEGIN
        self.node = Node(self, "nobody")
        """Whose code is running."""
        self.turns = 0
        self.over = False
        """The world has ended: whatever is still asked for is ignored."""
        self.network: Any = None
        self._runnable: list[Node] = []
        self._timers: list[tuple[float, int, asyncio.Handle, Node]] = []
        self._number = 0
        self.faults: list[str] = []
        """What nobody caught."""
        self.graveyard: list[Node] = []

    # --- time and turns

    def time(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970 by the clock of the node that is running."""
        return EPOCH_NS + round((self.now - BEGIN) * 1e9) + self.node.clock_ns

    def wake(self, node: Node) -> None:
        """Let a node with something ready have its turns."""
        if node not in self._runnable:
            self._runnable.append(node)

    def _run_once(self) -> None:
        runnable = self._runnable
        place = self._random.randrange(len(runnable)) if len(runnable) > 1 else 0
        node = runnable[place]
        ready = node.ready
        if node.dead or node.paused:
            del runnable[place]
            return
        self.node = node
        self.turns += 1
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
            if node.dead or node.paused:
                break
        if not ready or node.dead or node.paused:
            runnable.remove(node)

    def _advance(self) -> None:
        timers = self._timers
        if not timers:
            raise RuntimeError("nothing will ever happen again")
        self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            _, _, handle, node = heapq.heappop(timers)
            if node.dead or handle._cancelled:
                continue
            node.ready.append(handle)
            if not node.paused:
                self.wake(node)

    # --- what asyncio asks

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        node = self.node
        if self.over or node.dead:
            handle.cancel()
            return handle
        if not node.ready and not node.paused:
            self.wake(node)
        node.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle, self.node))
        return handle

    def on(self, node: Node, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Have something happen at another node."""
        handle = asyncio.Handle(callback, args, self, None)
        self._number += 1
        heapq.heappush(self._timers, (self.now + delay, self._number, handle, node))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time has come."""

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = tasks.Task(coro, loop=self, name=name or "task", context=context)
        node = self.node
        node.tasks.append(task)
        if len(node.tasks) > node.tasks_kept:
            node.tasks = [each for each in node.tasks if not each.done()]
            node.tasks_kept = 2 * len(node.tasks) + 64
        return task

    def start(self, node: Node, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task at a node."""
        before, self.node = self.node, node
        try:
            return self.create_task(coro)
        finally:
            self.node = before

    def run_in_executor(self, _: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """What would be done in a thread is done at once, a moment later."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(THREAD_SECONDS, work)
        return future

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        self.node.signals[sig] = lambda: cast("None", callback(*args))

    def remove_signal_handler(self, sig: int) -> bool:
        return self.node.signals.pop(sig, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.over:
            error = context.get("exception")
            self.faults.append(f"{self.node.name}: {context.get('message')}: {type(error).__name__}: {error}")

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return await self.network.connect(self.node, factory, port)

    async def create_server(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return self.network.listen(self.node, factory, port)

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    # --- the end

    def run_until(self, done: Callable[[], bool]) -> None:
        """Run until a condition holds, which is looked at whenever nothing more happens at a moment."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook,  # type: ignore[attr-defined]
            finalizer=self._asyncgen_finalizer_hook,  # type: ignore[attr-defined]
        )
        try:
            while True:
                while self._runnable:
                    self._run_once()
                if done():
                    break
                self._advance()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(before)
