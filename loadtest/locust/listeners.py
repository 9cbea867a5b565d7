"""What happens at Locust's events: options, set-up, the tally's way to the master, checks and exit code."""

import logging
import secrets
import time
from typing import Any

import gevent
import locust.stats
from locust.env import Environment
from locust.event import Events
from locust.runners import MasterRunner, WorkerRunner

from loadtest import checks
from loadtest.locust.connection import ConnectionLostError
from loadtest.locust.load import DRAIN_SECONDS, load_of
from loadtest.locust.options import SEED_FRESH, add_options, curve_of
from loadtest.locust.preparing import PrepareError, prepare
from loadtest.locust.shapes import SHAPES
from loadtest.locust.summary import measured, show, write
from loadtest.locust.users import TongbaoUser

log = logging.getLogger(__name__)

DRAIN, DRAINED = "tongbao_drain", "tongbao_drained"
"""Messages from and to the master: send nothing more; nothing is in flight any more."""
REPORT = "tongbao"
"""Our part of a worker's report."""

EXIT_CHECKS = 1
EXIT_PREPARE = 2


def register(events: Events) -> None:
    """Listen to the events of a Locust; a locustfile of your own calls this once."""
    # Locust's own buckets are whole milliseconds.
    locust.stats.bucket_response_time = checks.bucket  # type: ignore[assignment]
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(on_init)
    events.test_start.add_listener(on_test_start)
    events.test_stop.add_listener(on_test_stop)
    # First in, last out: with `reverse` the runner's own listener has collected the last reports before ours runs.
    events.quitting.add_listener(on_quitting)


def on_init(environment: Environment, **_: Any) -> None:
    """Choose the shape; say how master and workers speak about the end."""
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    assert runner is not None
    load = load_of(environment)
    if not isinstance(runner, WorkerRunner):
        curve = curve_of(options)
        environment.shape_class = None if curve is None else SHAPES[curve]()
        if environment.shape_class is not None:
            environment.shape_class.runner = runner
        load.seed_given = options.seed != SEED_FRESH
    if isinstance(runner, WorkerRunner):

        def drain(msg: Any, **_: Any) -> None:
            load.drain()
            runner.send_message(DRAINED, msg.data)

        def report(data: dict[str, Any], **_: Any) -> None:
            data[REPORT] = load.tally.taken()

        runner.register_message(DRAIN, drain, concurrent=True)
        environment.events.report_to_master.add_listener(report)
    if isinstance(runner, MasterRunner):

        def drained(msg: Any, **_: Any) -> None:
            load.drained.add(msg.node_id)

        def reported(data: dict[str, Any], **_: Any) -> None:
            load.tally.merge([tuple(one) for one in data.get(REPORT, ())])

        runner.register_message(DRAINED, drained)
        environment.events.worker_report.add_listener(reported)


def on_test_start(environment: Environment, **_: Any) -> None:
    """Read the options and, in one process of all, make what the users need."""
    load = load_of(environment)
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    assert runner is not None
    worker = isinstance(runner, WorkerRunner)
    if not worker and not load.seed_given:
        # The options go to the workers with the first message of the test.
        options.seed = secrets.randbits(62) + 1
    try:
        settings = load.begin()
        environment.process_exit_code = None
        if worker:
            return
        log.info("Seed %d", settings.workload.seed)
        market = any(issubclass(user, TongbaoUser) and user.needs_market for user in environment.user_classes)
        prepare(settings, market=market)
        load.began = time.perf_counter()
    except (ValueError, OSError, PrepareError, ConnectionLostError) as error:
        log.error("The test cannot start: %s", error)  # noqa: TRY400 - no traceback for what the options say wrong
        load.settings = None
        environment.process_exit_code = EXIT_PREPARE
        if options.headless or worker:
            gevent.spawn(runner.quit)
        if worker:
            # This greenlet is the one that listens to the master.
            return
        # Locust would go on after any error; nothing less than this ends the greenlet that starts users.
        raise gevent.GreenletExit from None


def on_test_stop(environment: Environment, **_: Any) -> None:
    """Before Locust tells its workers to quit, which gives them half a second: let what is in flight come in."""
    load, runner = load_of(environment), environment.runner
    if isinstance(runner, MasterRunner):
        load.drained.clear()
        workers = {client.id for client in runner.clients.all if client.state != "missing"}
        runner.send_message(DRAIN)
        end = time.monotonic() + DRAIN_SECONDS + 1
        while not workers <= load.drained and time.monotonic() < end:
            gevent.sleep(0.02)
    options = environment.parsed_options
    if not isinstance(runner, WorkerRunner) and options is not None and not options.headless:
        # A test of many, started and stopped in the web page.
        load.verdicts = judge(environment)


def on_quitting(environment: Environment, **_: Any) -> None:
    """Judge the run. Without checks, or with some that say nothing of errors, Locust's own exit codes hold."""
    runner, options = environment.runner, environment.parsed_options
    if isinstance(runner, WorkerRunner) or options is None or runner is None:
        return
    load = load_of(environment)
    verdicts = judge(environment) if load.verdicts is None else load.verdicts
    if environment.process_exit_code is not None:
        return
    if not all(verdict.ok for verdict in verdicts):
        environment.process_exit_code = EXIT_CHECKS
    elif not runner.exceptions and any(checks.parse(text).rules_on_errors for text in options.check):
        environment.process_exit_code = 0


def judge(environment: Environment) -> list[checks.Verdict]:
    """Print what was measured and what came of the checks."""
    options = environment.parsed_options
    assert options is not None
    load = load_of(environment)
    figures = measured(environment.stats, load.tally)
    verdicts = checks.judge(options.check, figures)
    show(figures, environment.stats, load.tally, verdicts, to_stderr=bool(options.json))
    if options.summary:
        write(options.summary, figures, environment.stats, load.tally, verdicts, seed=options.seed)
    for verdict in verdicts:
        if not verdict.ok:
            log.error("Check failed: %s (%s)", verdict.check, verdict.found)
    return verdicts
