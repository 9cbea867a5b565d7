"""What must be true of a ledger, recomputed from its transfers. Slow; no hot path uses it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine import order_invariants, risk_invariants
from engine.errors import InvariantError
from engine.results import AccountFlag, TransferFlag, TransferState

if TYPE_CHECKING:
    from engine.machine import Engine

_NONE = 0xFFFFFFFF
_INT63_MAX = 2**63 - 1
_BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
_SAMPLE = 20_000
_RUN = 64


def check(engine: "Engine") -> None:
    """Raises InvariantError, naming what is wrong, unless the engine's state is consistent.

    Debits equal credits in each ledger, pending and posted; each balance is the sum of its transfers, and each hold of
    its pending ones; limits and closings hold; histories, indexes and tables lead to what they should.
    """
    accounts, transfers = engine.array("accounts"), engine.array("transfers")
    _check_times(engine)
    _check_sums(engine, accounts, transfers)
    _check_ledgers(accounts)
    _check_closed(accounts, transfers)
    _check_threads(accounts, transfers)
    _check_history(engine)
    _check_index(engine)
    _check_tables(engine)
    pending = int(np.count_nonzero(transfers["state"] == TransferState.PENDING))
    _require(engine.pending == pending, f"{engine.pending} pending transfers are counted, {pending} exist")
    order_invariants.check(engine)
    risk_invariants.check(engine)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InvariantError(message)


def _check_times(engine: "Engine") -> None:
    for name in ("details", "transfers"):
        times = engine.array(name)["timestamp"]
        _require(np.all(times[1:] > times[:-1]), f"timestamps of {name} do not rise")
        _require(len(times) == 0 or times[0] > 0, f"a timestamp of {name} is 0")
        _require(len(times) == 0 or times[-1] <= engine.last_timestamp, f"a timestamp of {name} lies in the future")
    shared = np.intersect1d(engine.array("details")["timestamp"], engine.array("transfers")["timestamp"])
    _require(len(shared) == 0, "an account and a transfer share a timestamp")


def _check_sums(engine: "Engine", accounts: npt.NDArray[Any], transfers: npt.NDArray[Any]) -> None:
    expected = {name: np.zeros(len(accounts), dtype=np.uint64) for name in _BALANCES}
    posted = transfers[transfers["state"] == TransferState.POSTED]
    pending = transfers[transfers["state"] == TransferState.PENDING]
    np.add.at(expected["debits_posted"], posted["debit"], posted["amount"])
    np.add.at(expected["credits_posted"], posted["credit"], posted["amount"])
    np.add.at(expected["debits_pending"], pending["debit"], pending["amount"])
    np.add.at(expected["credits_pending"], pending["credit"], pending["amount"])
    debits, credits_ = order_invariants.held(engine)
    expected["debits_pending"] += debits
    expected["credits_pending"] += credits_
    for name in _BALANCES:
        wrong = np.flatnonzero(accounts[name] != expected[name])
        if len(wrong):
            account = accounts[wrong[0]]
            sums = expected[name][wrong[0]]
            raise InvariantError(
                f"account {account['id']}: {name} is {account[name]}, its transfers and holds sum to {sums}"
            )
    for side in ("debits", "credits"):
        total = accounts[f"{side}_pending"] + accounts[f"{side}_posted"]
        _require(np.all(total <= _INT63_MAX), f"{side} of an account exceed 2^63 - 1")
    ledgers = accounts["ledger"]
    _require(
        np.all(ledgers[transfers["debit"]] == ledgers[transfers["credit"]]), "a transfer joins accounts of two ledgers"
    )


def _check_ledgers(accounts: npt.NDArray[Any]) -> None:
    for ledger in np.unique(accounts["ledger"]):
        of_ledger = accounts[accounts["ledger"] == ledger]
        for state in ("pending", "posted"):
            debits = _exact_sum(of_ledger[f"debits_{state}"])
            credits_ = _exact_sum(of_ledger[f"credits_{state}"])
            _require(debits == credits_, f"ledger {ledger}: {state} debits {debits} differ from credits {credits_}")


def _exact_sum(values: npt.NDArray[np.uint64]) -> int:
    """A sum that cannot wrap: the halves are added apart."""
    low = int(np.sum(values & np.uint64(0xFFFFFFFF), dtype=np.uint64))
    return low + (int(np.sum(values >> np.uint64(32), dtype=np.uint64)) << 32)


def _check_closed(accounts: npt.NDArray[Any], transfers: npt.NDArray[Any]) -> None:
    """An account is closed when it was created so, or by a transfer that is still pending."""
    pending = transfers[transfers["state"] == TransferState.PENDING]
    closed = np.zeros(len(accounts), dtype=bool)
    closed[pending["debit"][(pending["flags"] & TransferFlag.CLOSING_DEBIT) != 0]] = True
    closed[pending["credit"][(pending["flags"] & TransferFlag.CLOSING_CREDIT) != 0]] = True
    flagged = (accounts["flags"] & AccountFlag.CLOSED) != 0
    wrong = np.flatnonzero(closed & ~flagged)
    if len(wrong):
        raise InvariantError(f"account {accounts['id'][wrong[0]]} is open in spite of a pending closing transfer")


def _check_threads(accounts: npt.NDArray[Any], transfers: npt.NDArray[Any]) -> None:
    counts = np.bincount(transfers["debit"], minlength=len(accounts)) + np.bincount(
        transfers["credit"], minlength=len(accounts)
    )
    _require(np.array_equal(accounts["transfer_count"], counts), "the number of an account's transfers is wrong")
    newest = np.full(len(accounts), _NONE, dtype=np.int64)
    order = np.arange(len(transfers))
    for side in ("debit", "credit"):
        last = np.full(len(accounts), -1, dtype=np.int64)
        np.maximum.at(last, transfers[side], order)
        newest = np.where(newest == _NONE, last, np.maximum(newest, last))
    newest[newest == -1] = _NONE
    _require(np.array_equal(accounts["transfer_last"], newest), "an account does not lead to its newest transfer")
    # Legs in the order of account, then slot: each leads to the one before it.
    legs = np.concatenate([transfers["debit"], transfers["credit"]])
    slots = np.concatenate([order, order])
    previous = np.concatenate([transfers["debit_previous"], transfers["credit_previous"]])
    sorting = np.lexsort((slots, legs))
    legs, slots, previous = legs[sorting], slots[sorting], previous[sorting]
    expected = np.full(len(legs), _NONE, dtype=np.int64)
    same = legs[1:] == legs[:-1]
    expected[1:][same] = slots[:-1][same]
    _require(np.array_equal(previous, expected), "a transfer does not lead to its account's transfer before it")


def _check_history(engine: "Engine") -> None:
    accounts, balances = engine.array("accounts"), engine.array("balances")
    expected = np.where((accounts["flags"] & AccountFlag.HISTORY) != 0, accounts["transfer_count"], 0)
    counts = np.bincount(balances["account"], minlength=len(accounts))
    _require(np.array_equal(counts, expected), "an account with history has not one balance per transfer")
    _require(np.all(balances["timestamp"][1:] >= balances["timestamp"][:-1]), "balances do not stand in time order")


def _check_index(engine: "Engine") -> None:
    """Each complete run of an account stands in its sparse index (walks every indexed account)."""
    accounts, transfers, index = engine.array("accounts"), engine.array("transfers"), engine.array("index")
    words = 0
    for slot in np.flatnonzero(accounts["transfer_count"] >= _RUN):
        account = accounts[slot]
        runs = int(account["transfer_count"]) // _RUN
        blocks = next(b for b in range(1, 33) if 4 * (2**b - 1) >= runs)
        entries: list[int] = []
        offset = int(account["index_last"])
        for block in reversed(range(blocks)):
            size = 4 << block
            words += 1 + size
            filled = runs - 4 * (2**block - 1) if block == blocks - 1 else size
            entries[:0] = index[offset + 1 : offset + 1 + filled].tolist()
            _require(
                not np.any(index[offset + 1 + filled : offset + 1 + size]), "an index block has entries behind its end"
            )
            offset = int(index[offset])
        _require(offset == _NONE, "an index has more blocks than it should")
        touching = transfers[entries]
        _require(np.all((touching["debit"] == slot) | (touching["credit"] == slot)), "an index leads to a stranger")
        _require(entries == sorted(set(entries)), "an index is not in order")
    _require(words == len(index), "the indexes leave words that belong to nobody")


def _check_tables(engine: "Engine") -> None:
    """Ids are found where they stand: all of a small ledger, a spread sample of a large one."""
    accounts, transfers, burnt = engine.array("accounts"), engine.array("transfers"), engine.array("burnt")
    chosen = _sample(len(accounts))
    _require(engine.find(account_ids=accounts["id"][chosen].tolist()) == chosen, "an account is not found by its id")
    chosen = _sample(len(transfers))
    ids = list(zip(transfers["id_lo"][chosen].tolist(), transfers["id_hi"][chosen].tolist(), strict=True))
    _require(engine.find(transfer_ids=ids) == chosen, "a transfer is not found by its id")
    chosen = _sample(len(burnt))
    ids = [tuple(pair) for pair in burnt[chosen].tolist()]
    found = engine.find(transfer_ids=ids)
    _require(found == [slot | 1 << 31 for slot in chosen], "a burnt id is not found")


def _sample(count: int) -> list[int]:
    return list(range(0, count, max(1, count // _SAMPLE)))
