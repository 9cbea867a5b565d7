"""Every status has a request that reaches it, and of two broken rules the upper one is told.

The table itself is in `refusal_table.py`.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest

from engine.results import TRANSIENT, Status, TransferFlag
from tests.engine import refusal_table as table
from tests.engine.refusal_table import Row
from tests.engine.subjects import SUBJECTS, Subject
from tests.models.records import Account, Result, Transfer

GOOD = {Status.CREATED, Status.UPDATED}
EXISTING = {status for status in Status if Status.EXISTS_WITH_DIFFERENT_FLAGS <= status <= Status.EXISTS}


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.__name__)
def ledger(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.param()
    table.bank(subject)
    return subject


def send(ledger: Subject, items: list[Any], time: int, scope: int = 0) -> list[Result]:
    if isinstance(items[0], Account):
        return ledger.create_accounts(items, time, scope=scope)
    if isinstance(items[0], Transfer):
        return ledger.create_transfers(items, time, scope=scope)
    return ledger.update_accounts(items, time, scope=scope)


def with_flags(base: Any, flags: int) -> int:
    """The flags of the base and those of the row; AS_VOID makes a void of a post."""
    merged: int = base.flags | flags
    if flags & table.AS_VOID == table.AS_VOID and base.flags & TransferFlag.POST_PENDING_TRANSFER:
        merged &= ~TransferFlag.POST_PENDING_TRANSFER
    return merged


def outcome(ledger: Subject, name: str, row: Row) -> Result:
    """What the row's request gets; the set-up must succeed, but for the retries that burn an id on purpose."""
    base, given, _ = table.LISTS[name]
    time = table.START + 10 * table.SECOND
    for at, items in sorted((*given, *row.given), key=lambda step: step[0]):
        time = at or time + table.SECOND
        for result in send(ledger, list(items), time):
            assert result.status in GOOD or result.status in TRANSIENT
    changes = dict(row.item)
    if "flags" in changes:
        changes["flags"] = with_flags(base, changes["flags"])
    item = base._replace(**changes)
    results = send(ledger, [*row.before, item, *row.after], row.time, scope=int(row.scoped))
    return results[len(row.before)]


def rows() -> Iterator[Any]:
    for name, (_, _, rules) in table.LISTS.items():
        for row in rules:
            yield pytest.param(name, row, id=f"{name}: {row.status.name.lower()}")


@pytest.mark.parametrize(("name", "row"), list(rows()))
def test_each_status_is_reached(ledger: Subject, name: str, row: Row) -> None:
    assert Status(outcome(ledger, name, row).status).name == row.status.name


def together(upper: Row, lower: Row) -> Row | None:
    """One request that breaks both rules; None when one row undoes the other."""
    if lower.status in GOOD or (upper.before and lower.before) or (upper.status, lower.status) in table.IMPOSSIBLE:
        return None
    for one, other in ((upper, lower), (lower, upper)):
        if one.without & other.item.get("flags", 0):
            return None
        if one.time != other.time and "timestamp" in one.item:
            return None
    item = {**lower.item, **upper.item}
    for member in upper.item.keys() & lower.item.keys():
        if member == "flags":
            item["flags"] = upper.item["flags"] | lower.item["flags"]
        elif upper.item[member] != lower.item[member]:
            return None
    if upper.status in EXISTING:
        # A retry is compared member by member: only what differs in the upper row may differ, or a later member.
        if lower.status in EXISTING:
            if lower.status == Status.EXISTS:
                return None
        elif lower.item or lower.status == Status.ID_ALREADY_FAILED:
            return None
    given = upper.given if upper.given == lower.given else upper.given + lower.given
    return Row(
        upper.status,
        f"{upper.words}; {lower.words}",
        item,
        given,
        upper.before or lower.before,
        upper.after + lower.after,
        scoped=upper.scoped or lower.scoped,
        time=max(upper.time, lower.time),
    )


def pairs() -> Iterator[Any]:
    for name, (_, _, rules) in table.LISTS.items():
        for upper, lower in combinations(rules, 2):
            explicit = table.PAIRS.get((upper.status, lower.status), {})
            row = explicit.get(name.removesuffix(" (post or void)")) or together(upper, lower)
            if row is not None:
                label = f"{name}: {upper.status.name.lower()} before {lower.status.name.lower()}"
                yield pytest.param(name, row, id=label)


PAIRS = list(pairs())


@pytest.mark.parametrize(("name", "row"), PAIRS)
def test_of_two_broken_rules_the_upper_is_told(ledger: Subject, name: str, row: Row) -> None:
    assert Status(outcome(ledger, name, row).status).name == row.status.name


def test_every_pair_of_neighbours_is_tested_or_impossible() -> None:
    tested = {param.id for param in PAIRS}
    for name, (_, _, rules) in table.LISTS.items():
        for upper, lower in pairwise(rules):
            if lower.status in GOOD:
                continue
            label = f"{name}: {upper.status.name.lower()} before {lower.status.name.lower()}"
            impossible = (upper.status, lower.status) in table.IMPOSSIBLE
            assert (label in tested) != impossible, label


def test_the_table_names_every_status() -> None:
    reached = {row.status for _, _, rules in table.LISTS.values() for row in rules}
    assert reached | table.NOT_OF_AN_ITEM.keys() == set(Status)
    assert not reached & table.NOT_OF_AN_ITEM.keys()


@pytest.mark.parametrize("name", table.LISTS)
def test_each_list_stands_in_the_order_of_the_numbers(name: str) -> None:
    """But for ours, whose numbers came later, and an open chain, which is told even in a chain that has failed."""
    ours = {status for status in Status if status >= Status.DEBIT_ACCOUNT_FROZEN}
    swapped = {Status.LINKED_EVENT_CHAIN_OPEN, Status.CREATED}
    numbers = [row.status for row in table.LISTS[name][2] if row.status not in ours | swapped]
    assert numbers == sorted(numbers)
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("row", [row for row in table.TRANSFERS + table.POSTS if row.status in TRANSIENT])
def test_a_refusal_of_the_moment_burns_the_id(ledger: Subject, row: Row) -> None:
    name = "create_transfers" if row in table.TRANSFERS else "create_transfers (post or void)"
    assert outcome(ledger, name, row).status == row.status
    again = table.TRANSFER
    assert ledger.create_transfers([again], row.time + table.SECOND)[0].status == Status.ID_ALREADY_FAILED


@pytest.mark.parametrize(
    "row",
    [row for row in table.TRANSFERS if row.status not in TRANSIENT | GOOD | EXISTING | {Status.ID_ALREADY_FAILED}],
)
def test_any_other_refusal_leaves_the_id_usable(ledger: Subject, row: Row) -> None:
    assert outcome(ledger, "create_transfers", row).status == row.status
    again = table.TRANSFER._replace(amount=1)
    assert ledger.create_transfers([again], row.time + table.SECOND // 2)[0].status == Status.CREATED
