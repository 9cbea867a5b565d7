"""Coverage-guided fuzzing of the wire against the plain model: `make fuzz`, or RUNS=… make fuzz.

Each input is a stream of bytes with two bytes in front that choose limits and permissions. It goes through the
compiled parser in one piece and again in random pieces; both must ask for what `tests/models/wire.py` says, and
whatever is asked must be answered by the encoder with as many lines of JSON. Atheris follows the branches of the model;
half of the mutations take in new lines from `tests/server/wire/lines.py`, so that the grammar is never far away.
An input with a difference, or one that takes long, is kept in fuzz/found.

With --generate N no fuzzer is needed: N streams from the generator, spoilt in all degrees, go the same way.
"""

import argparse
import hashlib
import json
import resource
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine._core import order_records, records, risk_records
from engine._core.batch import Batch
from server import wire
from server.wire import tools
from tests.models import wire as model
from tests.server.wire.asking import KINDS
from tests.server.wire.lines import Lines
from tests.server.wire.subjects import in_words, parse, splits

EVERYTHING = frozenset(model.METHODS) - model.ALWAYS
SPOILS = (0.0, 0.005, 0.02, 0.1)
LEAK_MAX = 128 * 2**20
"""Bytes that memory may grow after the first 50,000 inputs; the corpus in memory is most of it."""

ANSWERS = {
    KINDS["LOOKUP_ACCOUNTS"]: records.ACCOUNT_VIEW,
    KINDS["GET_ACCOUNT_BALANCES"]: records.BALANCE_VIEW,
    KINDS["QUERY_ACCOUNTS"]: records.ACCOUNT_VIEW,
    **{
        KINDS[name]: order_records.ORDER_RESULT
        for name in (
            "SUBMIT_ORDERS", "CANCEL_ORDERS", "REPLACE_ORDERS", "MASS_CANCEL", "SET_SESSION", "END_OF_DAY",
            "BUST_TRADES", "KILL_SWITCH",
        )
    },
    KINDS["GET_ORDERS"]: order_records.ORDER_VIEW,
    KINDS["GET_BOOK"]: order_records.BOOK_VIEW,
    KINDS["GET_INSTRUMENTS"]: order_records.BOOK_VIEW,
    KINDS["GET_TRADES"]: order_records.TRADE_VIEW,
    KINDS["GET_POSITIONS"]: order_records.POSITION_VIEW,
    KINDS["GET_EXECUTIONS"]: order_records.EXECUTION_VIEW,
    KINDS["GET_LIMITS"]: risk_records.LIMITS_VIEW,
    KINDS["GET_PROPOSALS"]: risk_records.PROPOSAL,
}  # fmt: skip
SINGLE = {order_records.BOOK_VIEW}
ONE_RESULT = ("MASS_CANCEL", "SET_SESSION", "END_OF_DAY")
MORE = {
    KINDS["SUBMIT_ORDERS"]: tools.ones(order_records.FILL, 2),
    KINDS["CANCEL_ORDERS"]: tools.ones(order_records.FILL, 2),
    KINDS["REPLACE_ORDERS"]: tools.ones(order_records.FILL, 2),
    KINDS["GET_BOOK"]: tools.ones(order_records.LEVEL_VIEW, 2),
}


class Difference(AssertionError):  # noqa: N818
    """The parser and the model disagree; the message shows both."""


def limits_of(choice: int) -> model.Limits:
    """Two bytes into limits and permissions."""
    return model.Limits(
        line_max=(2 * 2**20, 2 * 2**20, 300, 120)[choice & 3],
        items_max=(8190, 8190, 8190, 2)[choice >> 2 & 3],
        query_limit_max=(8190, 50)[choice >> 4 & 1],
        allowed=(EVERYTHING, EVERYTHING, EVERYTHING, frozenset({"create_transfers"}))[choice >> 5 & 3],
        logged_on=bool(choice >> 7 & 1),
    )


def check(data: bytes) -> None:
    """Raise Difference when the wire does not do what the model says."""
    limits = limits_of(data[0] if data else 0)
    stream = data[2:]
    batch, closed = parse([stream], limits)
    requests = tools.dump(batch)
    said, wanted_closed = model.read_stream(stream, limits)
    told = in_words(requests)
    if closed != wanted_closed or not model.agree(told, said):
        raise Difference(f"{stream!r}\nparser: {closed} {told}\nmodel:  {wanted_closed} {said}")
    pieces = list(splits(stream, Random(data[1] if len(data) > 1 else 0)))  # noqa: S311
    parts, parts_closed = parse(pieces, limits)
    if parts_closed != closed or tools.raw(parts) != tools.raw(batch) or parts.answers != batch.answers:
        raise Difference(f"{pieces!r}\nin pieces: {parts_closed} {tools.dump(parts)}\nas one: {closed} {requests}")
    answer_all(batch, requests)


def answer_all(batch: Batch, requests: list[dict[str, Any]]) -> None:
    """Encode an answer to everything: one line of JSON each, with the id that was asked."""
    for index, request in enumerate(requests):
        kind = request["kind"]
        items = request["items"]
        if items is not None:
            dtype = ANSWERS.get(kind, records.RESULT if kind < KINDS["READ"] else records.TRANSFER_VIEW)
            count = 1 if dtype in SINGLE or kind in {KINDS[name] for name in ONE_RESULT} else len(items)
            tools.answer(batch, index, tools.ones(dtype, count), more=MORE.get(kind))
    lines = [line for _, text in wire.encode(batch, 1, 2) for line in text.splitlines()]
    if len(lines) != len(requests):
        raise Difference(f"{len(lines)} replies to {len(requests)} requests")
    for line, request in zip(lines, requests, strict=True):
        reply = json.loads(line)
        if request["id"] and json.loads(request["id"]) != reply["id"]:
            raise Difference(f"{line!r} answers {request['id']!r}")


def generate(seed: int) -> bytes:
    """One input of the first corpus."""
    random = Random(seed)  # noqa: S311
    head = bytes([random.choice([0, 0, 128, 128, random.randrange(256)]), random.randrange(256)])
    return head + Lines(random, random.choice(SPOILS)).stream(random.choice([1, 1, 2, 3]))


def write_corpus(directory: Path, count: int) -> None:
    """Write the first corpus; files are named by their content."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        data = generate(seed)
        (directory / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


class Watch:
    """Counts inputs and looks at the memory now and then."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = time.monotonic()
        self.memory = 0

    def __call__(self, data: bytes) -> None:
        """Check one input."""
        check(data)
        self.count += 1
        if self.count == 50_000:
            self.memory = used()
        elif self.memory and self.count % 50_000 == 0 and used() - self.memory > LEAK_MAX:
            raise MemoryError(f"{used() - self.memory} bytes more than after 50,000 inputs: something leaks")

    def report(self) -> str:
        """Say what was done."""
        seconds = time.monotonic() - self.begun
        grown = f", memory grew {(used() - self.memory) / 2**20:.1f} MiB after the first 50,000" if self.memory else ""
        return f"{self.count} inputs in {seconds:.0f} s, no difference{grown}"


def used() -> int:
    """Peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(runs: int, corpus: Path, options: list[str]) -> None:
    """Run atheris for `runs` inputs."""
    import atheris  # noqa: PLC0415 - only here, it is not in the development environment

    watch = Watch()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        lines = data[2:].split(b"\n")
        at = random.randrange(len(lines))
        lines[at] = Lines(random, random.choice(SPOILS)).line()
        return (data[:2].ljust(2, b"\0") + b"\n".join(lines))[:max_size]

    def one(data: bytes) -> None:
        watch(data)
        if watch.count >= runs:  # libFuzzer leaves with os._exit, so the report is made here
            print(watch.report(), flush=True)

    found = corpus.parent / "found"
    found.mkdir(parents=True, exist_ok=True)
    atheris.instrument_func(model.read_stream)
    for name in dir(model):
        function = getattr(model, name)
        if (
            callable(function)
            and getattr(function, "__module__", "") == model.__name__
            and hasattr(function, "__code__")
        ):
            setattr(model, name, atheris.instrument_func(function))
    atheris.Setup(
        [
            sys.argv[0],
            f"-runs={runs}",
            "-max_len=2048",
            "-rss_limit_mb=1500",
            "-timeout=20",
            f"-artifact_prefix={found}/",
            *options,
            str(corpus),
        ],
        one,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000_000, help="inputs to try (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=Path(__file__).parent / "corpus", help="directory of inputs")
    parser.add_argument(
        "--seeds", type=int, default=2_000, help="generated inputs to begin with (default: %(default)s)"
    )
    parser.add_argument("--generate", type=int, default=0, metavar="N", help="N generated inputs, without atheris")
    parser.add_argument("--first", type=int, default=10**9, help="seed of the first generated input")
    parser.add_argument("options", nargs="*", help="options of libFuzzer, behind --")
    arguments = parser.parse_args()
    if arguments.generate:
        watch = Watch()
        for seed in range(arguments.first, arguments.first + arguments.generate):
            watch(generate(seed))
        print(watch.report())
        return
    write_corpus(arguments.corpus, arguments.seeds)
    fuzz(arguments.runs, arguments.corpus, arguments.options)


if __name__ == "__main__":
    main()
