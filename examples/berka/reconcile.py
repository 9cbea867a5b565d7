"""Compares the balances that the server answers with the bank's own, after every row and every day.

The bank rounds its balance to 0.10 crowns now and then (mostly when it books interest), and carries the rounded
balance on. We post what the rows say and nothing else, so our balance drifts from the bank's by the sum of its
roundings. Nothing is adjusted and nothing hidden:

- a *row* agrees when our balance and the bank's move by the same, is *rounded* when the two movements differ by at
  most 0.10 crowns, and is *wrong* otherwise;
- a *day* of an account agrees when every row of it does, and is *rounded* when at least one row is and none is wrong;
- the drift that remains at the end of a day is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine.results import Status
from examples.berka.data import ROUNDING_MAX, Row
from server.client import Client
from server.client.values import Records


@dataclass(slots=True)
class Report:
    """What the comparison found."""

    accounts: int = 0
    rows: int = 0
    rows_exact: int = 0
    rows_rounded: int = 0
    days: int = 0
    days_exact: int = 0
    days_rounded: int = 0
    rows_on_exact_days: int = 0
    rows_on_rounded_days: int = 0
    drift_max: int = 0
    """Largest difference between our balance and the bank's at the end of a day, in haléř."""
    overdrawn: int = 0
    """Rows after which the balance is negative."""
    wrong: list[str] = field(default_factory=list)
    """What cannot be explained; empty when everything reconciles."""


def by_account(rows: list[Row], transfers: Records) -> dict[int, tuple[list[Row], list[int]]]:
    """Give each account its rows and their timestamps, in booking order."""
    found: dict[int, tuple[list[Row], list[int]]] = {}
    for row, timestamp in zip(rows, transfers["timestamp"].tolist(), strict=True):
        own, times = found.setdefault(row.account, ([], []))
        own.append(row)
        times.append(timestamp)
    return found


async def reconcile(
    client: Client, rows: list[Row], transfers: Records, advance: Callable[[int], None] = lambda _: None
) -> Report:
    """Ask for the balances of every account and compare them; `advance` is told of each account's rows."""
    report = Report()
    for account, (own, times) in by_account(rows, transfers).items():
        history = await client.get_account_balances(account, limit=8190, arrays=True)
        _compare(report, account, own, times, history)
        advance(len(own))
    return report


def _compare(report: Report, account: int, rows: list[Row], times: list[int], history: Records) -> None:
    report.accounts += 1
    report.rows += len(rows)
    if history["timestamp"].tolist() != times:
        report.wrong.append(f"account {account}: {len(history)} balances for {len(rows)} rows, or at other times")
        return
    ours = history["credits_posted"].astype(np.int64) - history["debits_posted"].astype(np.int64)
    bank = np.array([row.balance for row in rows], np.int64)
    report.overdrawn += int((bank < 0).sum())
    drift = ours - bank
    steps = np.diff(drift, prepend=np.int64(0))
    report.rows_exact += int((steps == 0).sum())
    report.rows_rounded += int(((steps != 0) & (np.abs(steps) <= ROUNDING_MAX)).sum())
    for place in np.flatnonzero(np.abs(steps) > ROUNDING_MAX):
        row = rows[place]
        report.wrong.append(f"account {account}, {row.day}, transaction {row.id}: off by {int(steps[place])} haléř")
    days = [row.day for row in rows]
    first = 0
    while first < len(days):
        end = first
        while end < len(days) and days[end] == days[first]:
            end += 1
        misses = np.abs(steps[first:end])
        report.days += 1
        if not misses.any():
            report.days_exact += 1
            report.rows_on_exact_days += end - first
        elif misses.max() <= ROUNDING_MAX:
            report.days_rounded += 1
            report.rows_on_rounded_days += end - first
        report.drift_max = max(report.drift_max, abs(int(drift[end - 1])))
        first = end


def refused(results: Records) -> dict[str, int]:
    """Count the statuses that are neither created nor exists."""
    values, counts = np.unique(results["status"], return_counts=True)
    done = {int(Status.CREATED), int(Status.EXISTS)}
    return {
        Status(value).name.lower(): int(count)
        for value, count in zip(values.tolist(), counts, strict=True)
        if value not in done
    }
