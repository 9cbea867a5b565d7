"""What the command line says about the workload, on top of Locust's own options."""

import argparse
import os
import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, get_args

from loadtest import checks
from loadtest.locust.connection import Address
from loadtest.locust.curves import CURVES, Curve
from loadtest.market import Market
from loadtest.requests import Requests
from loadtest.workload import Shape, Spread, Workload

PORT = 7420
BATCH_MAX = 8_190
SEED_FRESH = 0
"""Stands for a seed that has not been used yet; the master draws it and tells the workers."""


def add_options(parser: Any) -> None:
    """Add ours. Values stay plain, since Locust sends them to the workers and shows them in its web page."""
    add = parser.add_argument
    add("--channel", default="", help="Channel to log on as; none with a server under --dev")
    add("--key", default=os.environ.get("TONGBAO_KEY", ""), is_secret=True, help="The channel's key")
    add("--tls-ca", default="", metavar="FILE", help="Speak TLS, with a server that this CA vouches for")
    add("--depth", type=int, default=8, help="Requests in flight of each user (closed loop)")
    add(
        "--rate",
        type=float,
        default=0.0,
        help="Requests a second of each user, on a schedule whatever the server does (open loop); 0: closed loop",
    )
    add("--seed", type=int, default=SEED_FRESH, help="Makes the items; 0: one not used before")
    add("--accounts", type=int, default=10_000, help="Accounts that move money, created first")
    add("--spread", choices=get_args(Spread), default="uniform", help="Whose money moves")
    add(
        "--transfers",
        choices=get_args(Shape),
        default="single",
        help="Plain transfers; pending ones, then posted or voided; chains of two",
    )
    add("--batch", type=int, default=1_000, help="Transfers in a request of Batches and BankDay")
    add("--instruments", type=int, default=4, help="Instruments that are traded")
    add("--traders", type=int, default=256, help="Trading accounts; users beyond share them")
    add("--day-seconds", type=float, default=240.0, help="How long a day of BankDay takes")
    add("--day-start", type=float, default=9.0, help="The hour at which it begins")
    add(
        "--shape",
        choices=("none", *CURVES),
        default="none",
        include_in_web_ui=False,
        help="Users over time, up to --users, within --run-time",
    )
    add(
        "--check",
        action="append",
        type=checks.validated,
        default=[],
        include_in_web_ui=False,
        help=f"Fail the run unless this holds; may be given again. {checks.HELP}",
    )
    add(
        "--allow",
        action="append",
        default=[],
        include_in_web_ui=False,
        metavar="NAME",
        help="A status, reason or error (busy) that is a result and not a failure; may be given again",
    )
    add("--reconnect-seconds", type=float, default=10.0, help="How long a user looks for its server")
    add("--summary", default="", metavar="FILE", include_in_web_ui=False, help="Write what is printed as JSON")


@dataclass(frozen=True)
class Settings:
    """The options, checked; two processes with equal options send parts of one workload."""

    address: Address
    workload: Workload
    market: Market
    depth: int
    rate: float
    batch: int
    day_seconds: float
    day_start: float
    allowed: frozenset[str]
    reconnect_seconds: float

    @classmethod
    def from_options(cls, host: str | None, options: argparse.Namespace) -> Self:
        """Check the options; ValueError names the one that is wrong."""
        workload = Workload(
            seed=options.seed, accounts=options.accounts, spread=options.spread, shape=options.transfers
        )
        unit = workload.items_unit
        if not unit <= options.batch <= BATCH_MAX or options.batch % unit:
            raise ValueError(f"batch: {options.batch} is not a multiple of {unit} between {unit} and {BATCH_MAX}")
        if not 1 <= options.depth <= 10_000:
            raise ValueError(f"depth: {options.depth} is not between 1 and 10,000")
        if options.rate < 0:
            raise ValueError(f"rate: {options.rate:g} is negative")
        if options.day_seconds <= 0:
            raise ValueError(f"day-seconds: {options.day_seconds:g} is not more than 0")
        if not 0 <= options.day_start < 24:
            raise ValueError(f"day-start: {options.day_start:g} is not between 0 and 24")
        if options.reconnect_seconds < 0:
            raise ValueError(f"reconnect-seconds: {options.reconnect_seconds:g} is negative")
        return cls(
            address=address_of(host, options),
            workload=workload,
            market=Market(options.seed, options.instruments, options.traders),
            depth=options.depth,
            rate=options.rate,
            batch=options.batch,
            day_seconds=options.day_seconds,
            day_start=options.day_start,
            allowed=frozenset(options.allow),
            reconnect_seconds=options.reconnect_seconds,
        )

    @cached_property
    def singles(self) -> Requests:
        """Requests of one transfer each, or of one chain."""
        return Requests(self.workload, items=2 if self.workload.shape == "linked" else 1)

    @cached_property
    def batches(self) -> Requests:
        """Requests of `batch` transfers each."""
        return Requests(self.workload, items=self.batch)


def address_of(host: str | None, options: argparse.Namespace) -> Address:
    """Where the server is; ValueError when the host cannot be read."""
    if not host:
        raise ValueError("host: is missing (--host HOST:PORT)")
    name, _, port = host.removeprefix("tcp://").rstrip("/").rpartition(":")
    if not name or name.endswith(":"):
        name, port = host.removeprefix("tcp://").rstrip("/"), str(PORT)
    if not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError(f"host: {host!r} is not HOST or HOST:PORT")
    if options.tls_ca:
        tls = ssl.create_default_context(cafile=options.tls_ca)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
    return Address(name.strip("[]"), int(port), options.channel, options.key, tls if options.tls_ca else None)


def curve_of(options: argparse.Namespace) -> Curve | None:
    """The shape that was asked for."""
    return None if options.shape == "none" else options.shape
