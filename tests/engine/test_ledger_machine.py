"""The fast ledger against the plain one: Hypothesis invents the sequence, and the seeded driver a much longer one.

Rules with simple arguments shrink to a short program; the rule `any_batch` adds what the driver's generator
invents (see `generator.py`). After every step all counts and all balances are compared.
"""

import os
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from engine.results import AMOUNT_ALL, INT63_MAX, AccountFlag, Status, TransferFlag
from tests.engine import driver, refusal_table
from tests.engine.batches import Batch, Request
from tests.engine.driver import Pair
from tests.engine.generator import Generator
from tests.models.ledger import Chain, Ledger
from tests.models.records import Account, Filter, Transfer, Update
from tests.models.stored import StoredAccount, StoredTransfer

SECOND = 1_000_000_000

account_ids = st.integers(1, 6) | st.sampled_from([0, 99, 2**64 - 1])
amounts = st.integers(0, 120) | st.sampled_from([INT63_MAX, INT63_MAX - 1, 2**62, 2**63, AMOUNT_ALL])
account_flags = st.sets(
    st.sampled_from([f for f in AccountFlag if f not in {AccountFlag.LINKED, AccountFlag.IMPORTED}])
)
movement_flags = st.sets(
    st.sampled_from(
        [
            *(TransferFlag.BALANCING_DEBIT, TransferFlag.BALANCING_CREDIT),
            *(TransferFlag.CLOSING_DEBIT, TransferFlag.CLOSING_CREDIT, TransferFlag.PENDING),
        ]
    ),
    max_size=2,
)
filters = st.builds(
    Filter,
    account_id=account_ids,
    timestamp_min=st.sampled_from([0, 1, 2, 4]),
    timestamp_max=st.sampled_from([0, 3, 5, INT63_MAX]),
    user_data_128=st.none() | st.integers(0, 1),
    user_data_32=st.none(),
    user_data_64=st.none() | st.integers(0, 1),
    ledger=st.integers(0, 2),
    limit=st.integers(1, 5) | st.just(8_190),
    code=st.integers(0, 2),
    debits=st.booleans(),
    credits=st.booleans(),
    reversed=st.booleans(),
)


def total(flags: set[Any]) -> int:
    return sum(int(flag) for flag in flags)


class LedgerMachine(RuleBasedStateMachine):
    """Both ledgers get the same batches."""

    sent = Bundle("sent")
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.pair = Pair(Path(self.directory.name), b"m" * 32)
        self.generator: Generator | None = None
        self.next_id = 0

    @initialize(
        start=st.sampled_from([0, 1_790_000_000 * SECOND, INT63_MAX - 100_000 * SECOND]),
        flags=st.lists(account_flags, min_size=2, max_size=5),
    )
    def open_bank(self, start: int, flags: list[set[AccountFlag]]) -> None:
        self.time = start
        self.send("create_accounts", tuple(Account(i + 1, 1 + i // 3, 1, total(flag)) for i, flag in enumerate(flags)))

    def send(self, method: str, items: Any, *, scope: int = 0, later: int = 1) -> None:
        self.time += later
        self.pair.apply(Batch(self.time, (Request(method, items, scope),)))
        self.time = max(self.time, self.pair.plain.last_timestamp)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id << (64 if self.next_id % 2 else 0)

    # --- accounts ------------------------------------------------------------------------------

    @rule(
        id=account_ids,
        ledger=st.integers(0, 2),
        code=st.integers(0, 2),
        flags=account_flags,
        overdraft=st.sampled_from([0, 0, 10]),
        user_data=st.integers(0, 1),
    )
    def create_account(
        self,
        id: int,  # noqa: A002
        ledger: int,
        code: int,
        flags: set[AccountFlag],
        overdraft: int,
        user_data: int,
    ) -> None:
        account = Account(id, ledger, code, total(flags), overdraft, user_data, user_data, user_data)
        self.send("create_accounts", (account,))

    @rule(id=account_ids, overdraft=st.none() | st.sampled_from([0, 10, 200]), frozen=st.none() | st.booleans())
    def update_account(self, id: int, overdraft: int | None, frozen: bool | None) -> None:  # noqa: A002
        self.send("update_accounts", (Update(id, overdraft, frozen),))

    # --- transfers -----------------------------------------------------------------------------

    @rule(
        target=sent,
        debit=account_ids,
        credit=account_ids,
        amount=amounts,
        ledger=st.integers(1, 2),
        flags=movement_flags,
        user_data=st.integers(0, 1),
    )
    def move(
        self, debit: int, credit: int, amount: int, ledger: int, flags: set[TransferFlag], user_data: int
    ) -> Transfer:
        transfer = Transfer(
            self.new_id(),
            debit,
            credit,
            amount,
            ledger,
            1,
            total(flags),
            user_data_64=user_data,
            user_data_128=user_data,
        )
        self.send("create_transfers", (transfer,))
        return transfer

    @rule(
        target=holds,
        debit=st.integers(1, 6),
        credit=st.integers(1, 6),
        amount=st.integers(0, 100),
        timeout=st.integers(0, 3),
        closing=st.sets(st.sampled_from([TransferFlag.CLOSING_DEBIT, TransferFlag.CLOSING_CREDIT])),
    )
    def hold(self, debit: int, credit: int, amount: int, timeout: int, closing: set[TransferFlag]) -> Transfer:
        account = self.pair.plain.lookup_accounts([debit])[0]
        ledger = account.ledger if account else 1
        flags = TransferFlag.PENDING | total(closing)
        transfer = Transfer(self.new_id(), debit, credit, amount, ledger, 1, flags, timeout=timeout)
        self.send("create_transfers", (transfer,))
        return transfer

    @rule(target=sent, hold=holds, amount=amounts | st.just(AMOUNT_ALL), void=st.booleans())
    def resolve(self, hold: Transfer, amount: int, void: bool) -> Transfer:
        flag = TransferFlag.VOID_PENDING_TRANSFER if void else TransferFlag.POST_PENDING_TRANSFER
        transfer = Transfer(self.new_id(), amount=amount, flags=flag, pending_id=hold.id)
        self.send("create_transfers", (transfer,))
        return transfer

    @rule(transfer=sent | holds, member=st.sampled_from(Transfer._fields), value=st.none() | st.integers(0, 3))
    def retry(self, transfer: Transfer, member: str, value: int | None) -> None:
        self.send("create_transfers", (transfer if value is None else transfer._replace(**{member: value}),))

    @rule(
        target=holds,
        legs=st.lists(st.tuples(account_ids, account_ids, st.integers(0, 100), st.booleans()), min_size=2, max_size=6),
        resolved=st.none() | holds,
        open_end=st.booleans(),
    )
    def chain(self, legs: list[tuple[int, int, int, bool]], resolved: Transfer | None, open_end: bool) -> Any:
        items = [
            Transfer(self.new_id(), debit, credit, amount, 1, 1, TransferFlag.PENDING if pending else 0)
            for debit, credit, amount, pending in legs
        ]
        if resolved is not None:
            flags = TransferFlag.POST_PENDING_TRANSFER
            items.insert(1, Transfer(self.new_id(), amount=AMOUNT_ALL, flags=flags, pending_id=resolved.id))
        links = items if open_end and len(items) % 3 == 0 else items[:-1]
        linked = [t._replace(flags=t.flags | TransferFlag.LINKED) for t in links] + items[len(links) :]
        self.send("create_transfers", tuple(linked))
        return multiple(*linked)

    @rule(
        legs=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(-2, 20)), min_size=1, max_size=4),
        accounts=st.booleans(),
    )
    def import_events(self, legs: list[tuple[int, int, int]], accounts: bool) -> None:
        past = self.time
        self.time += 100
        if accounts:
            account_items = [
                Account(debit, 1, 1, AccountFlag.IMPORTED, timestamp=max(0, past + ago)) for debit, _, ago in legs
            ]
            self.send("create_accounts", tuple(account_items))
            return
        items = [
            Transfer(self.new_id(), debit, credit, 5, 1, 1, TransferFlag.IMPORTED, timestamp=max(0, past + ago))
            for debit, credit, ago in legs
        ]
        self.send("create_transfers", tuple(items))

    # --- time, scopes, reads --------------------------------------------------------------------

    @rule(later=st.sampled_from([1, SECOND - 1, SECOND, 5 * SECOND]))
    def tick(self, later: int) -> None:
        self.time += later
        self.pair.apply(Batch(self.time))

    @rule(offset=st.integers(-2, 2))
    def jump_to_the_next_expiry(self, offset: int) -> None:
        edge = self.pair.plain.next_expiry
        if edge:
            self.time = max(self.time + 1, edge + offset)
            self.pair.apply(Batch(self.time))

    @rule(number=st.integers(1, 2), edges=st.sets(st.integers(1, 8), max_size=4))
    def define_scope(self, number: int, edges: set[int]) -> None:
        ordered = sorted(edges)
        self.send("define_scope", (number, tuple(zip(ordered[::2], ordered[1::2], strict=False))))

    @rule(scope=st.integers(0, 3), debit=account_ids, credit=account_ids)
    def move_in_scope(self, scope: int, debit: int, credit: int) -> None:
        self.send("create_transfers", (Transfer(self.new_id(), debit, credit, 1, 1, 1),), scope=scope)

    @rule(
        scope=st.integers(0, 3),
        wanted=filters,
        method=st.sampled_from(["get_account_transfers", "get_account_balances", "query_accounts", "query_transfers"]),
    )
    def read(self, scope: int, wanted: Filter, method: str) -> None:
        if method.startswith("query"):
            wanted = wanted._replace(account_id=0, debits=False, credits=False)
        else:
            wanted = wanted._replace(ledger=0)
        self.send(method, wanted, scope=scope)

    @rule(random=st.randoms(use_true_random=False))
    def any_batch(self, random: Random) -> None:
        if self.generator is None:
            self.generator = Generator(random, self.pair.plain)
            self.generator.next_id = 1_000_000
        self.generator.random = random
        self.generator.time = self.time
        batch = self.generator.batch()
        if batch.time + batch.steps() < INT63_MAX:
            self.time = batch.time
            self.pair.apply(batch)
            self.time = max(self.time, self.pair.plain.last_timestamp)

    # --- what must hold --------------------------------------------------------------------------

    @rule()
    def go_on_from_a_snapshot(self) -> None:
        self.pair.snapshot(b"n" * 32)

    @rule()
    def replay_the_log(self) -> None:
        self.pair.replay(b"o" * 32)

    @invariant()
    def balances_are_equal(self) -> None:
        ids = self.pair.plain.account_ids()
        driver.compare("accounts", self.pair.fast.lookup_accounts(ids), self.pair.plain.lookup_accounts(ids))

    def teardown(self) -> None:
        try:
            self.pair.compare_everything()
            self.pair.replay(b"p" * 32)
        finally:
            self.directory.cleanup()


def test_hypothesis_finds_no_difference() -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=int(os.environ.get("TONGBAO_EXAMPLES", "150")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_driver_finds_no_difference() -> None:
    """A new seed every time; it is printed, and in the message of a failure."""
    driver.run(Random().randbytes(4).hex(), 100_000)


def expires_late(self: StoredTransfer) -> int:
    return self.timestamp + self.timeout * SECOND + 1 if self.timeout else 0


def keeps_no_copies(self: Chain, record: StoredAccount | StoredTransfer) -> None:
    """A chain that is not undone."""


def never_visible(self: Ledger, scope: int, t: StoredTransfer) -> bool:
    return scope == 0


def stands_still_without_frost(debit: StoredAccount, credit: StoredAccount) -> Status | None:
    if debit.flags & AccountFlag.CLOSED:
        return Status.DEBIT_ACCOUNT_ALREADY_CLOSED
    return Status.CREDIT_ACCOUNT_ALREADY_CLOSED if credit.flags & AccountFlag.CLOSED else None


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (StoredTransfer, "expires_at", expires_late),
        (Chain, "keep", keeps_no_copies),
        (Ledger, "_visible", never_visible),
        (Ledger, "_standstill", staticmethod(stands_still_without_frost)),
    ],
)
def test_a_planted_fault_is_found_and_shrunk(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, fault: object
) -> None:
    """The fault is in the plain ledger, which makes no difference to the comparison."""
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(driver.Difference, match=r"shrunk from \d+ batches to [1-9]:"):
        driver.run("fault", 200_000)


@pytest.mark.long
def test_a_million_steps(capsys: pytest.CaptureFixture[str]) -> None:
    steps = int(os.environ.get("TONGBAO_STEPS", "1000000"))
    seed = os.environ.get("TONGBAO_SEED", Random().randbytes(4).hex())
    with capsys.disabled():
        print()
        seen = driver.run(seed, steps)
        print(driver.table(seen))
    for name, (_, _, rows) in refusal_table.LISTS.items():
        method = name.removesuffix(" (post or void)")
        missing = [row.status.name for row in rows if not seen[method, row.status]]
        assert not missing or steps < 1_000_000, f"{method}: never seen {missing}"
    for status in (Status.FOUND, Status.NO_HISTORY, Status.NOT_PERMITTED, Status.ACCOUNT_NOT_FOUND):
        assert seen["get_account_balances", status] or steps < 1_000_000
