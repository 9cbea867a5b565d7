"""Alerts: what people want to hear of without asking, made from a row and the state before and after it."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import Batch, Engine
from engine.order_results import Reason, Session
from engine.risk.names import LimitName, LimitScope
from server import batches
from server.events.lines import Line, text_of, uuid_text
from server.journal import Row
from server.projection.columns import GROUP_APPROVAL, GROUP_DEFAULT, UNLIMITED

Array = npt.NDArray[Any]

SHORT_SALE = ("allowed", "not_below_last", "forbidden")
SWITCHES = (LimitName.RESTRICTED, LimitName.KILL_SWITCH)
PROGRAMME = ((1, "programme_rate"), (2, "programme_day"))
PROPOSALS = ("limits_proposed", "limits_approved", "limits_declined")
GROUPS = (
    ("account_groups", LimitScope.ACCOUNT), ("instrument_groups", LimitScope.INSTRUMENT), ("named_groups", None),
)  # fmt: skip
KILL = 1 << LimitName.KILL_SWITCH


class Alerts:
    """Remembers what it needs of the state before a row."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._killed = {where: True for where, _ in self._kill_switches()}
        self._programme = self._flagged()
        self._sessions = engine.array("instruments")["session"].copy()
        self._proposals = len(engine.array("proposals"))
        self._business_date = engine.business_date
        self._traders: dict[int, int] = {}
        """Slots of trading accounts by their ids, as far as they have been looked at."""

    def of(
        self, row: Row, batch: Batch, contents: batches.Contents, expired: list[int], *, exchange: bool
    ) -> list[Line]:
        """Return the alerts of a row, in a fixed order."""
        found = [_alert(row.time, "pending_expired", self._transfer(slot)) for slot in expired]
        if not exchange:
            return found
        found += [_alert(row.time, "limit_rejected", _refusal(item)) for item in batches.refusals(batch)]
        if contents.limits or contents.kills or contents.approvals:
            found += self._limits(row.time)
        if contents.orders or contents.amends:
            found += self._programme_flags(row.time, batches.ordering_accounts(batch))
        found += self._market(row.time)
        if contents.days:
            self._programme = self._flagged()
        return found

    # --- the ledger ------------------------------------------------------------------------------

    def _transfer(self, slot: int) -> dict[str, Any]:
        record = self._engine.array("transfers")[slot]
        accounts = self._engine.array("accounts")
        return {
            "id": uuid_text(int(record["id_hi"]) << 64 | int(record["id_lo"])),
            "debit_account_id": int(accounts[record["debit"]]["id"]),
            "credit_account_id": int(accounts[record["credit"]]["id"]),
            "amount": int(record["amount"]),
            "ledger": int(accounts[record["debit"]]["ledger"]),
        }

    # --- limits ----------------------------------------------------------------------------------

    def _kill_switches(self) -> list[tuple[tuple[str, int], Any]]:
        """Groups whose own kill switch is on."""
        found = []
        for store, _ in GROUPS:
            groups = self._engine.array(store)
            on = np.flatnonzero((groups["own"] & KILL != 0) & (groups["limits"]["kill_switch"] == 1))
            found += [((store, int(slot)), groups[slot]) for slot in on]
        return found

    def _limits(self, time: int) -> list[Line]:
        """Limits that were set, kill switches that were switched, proposals that were made or decided."""
        engine = self._engine
        found = []
        killed = {where: True for where, _ in self._kill_switches()}
        for store, scope in GROUPS:
            groups = engine.array(store)
            for slot in np.flatnonzero(groups["updated"] >= time).tolist():
                group = groups[slot]
                whose = _whose(scope if scope is not None else _named(slot, group), group)
                was, now = (store, slot) in self._killed, (store, slot) in killed
                if was != now:
                    found.append(_alert(int(group["updated"]), "kill_switch", whose | {"on": now}))
                else:
                    said = whose | {"limits": _values(group["limits"], int(group["own"]))}
                    found.append(_alert(int(group["updated"]), "limits_set", said))
        self._killed = killed
        found += self._pairs(time)
        proposals = engine.array("proposals")
        for slot, record in enumerate(proposals):
            new = slot >= self._proposals
            if new:
                found.append(_alert(int(record["timestamp"]), "limits_proposed", _proposal(record)))
            if record["state"] and int(record["decided_at"]) >= time:
                found.append(_alert(int(record["decided_at"]), PROPOSALS[int(record["state"])], _proposal(record)))
        self._proposals = len(proposals)
        return found

    def _pairs(self, time: int) -> list[Line]:
        """Limits of somebody in one instrument by itself."""
        engine = self._engine
        pairs, instruments = engine.array("limit_pairs"), engine.array("instruments")
        found = []
        for pair in pairs[pairs["updated"] >= time]:
            scope = LimitScope(int(pair["scope"]))
            group = engine.array("account_groups" if scope == LimitScope.ACCOUNT else "named_groups")[pair["group"]]
            values: dict[str, Any] = {
                name: int(pair[name]) for name in ("position_long", "position_short") if pair[name] != UNLIMITED
            }
            if pair["restricted"]:
                values["restricted"] = True
            symbol = _symbol(instruments[pair["instrument"]])
            said = _whose(scope, group) | {"instrument": symbol, "limits": values}
            found.append(_alert(int(pair["updated"]), "limits_set", said))
        return found

    # --- programme trading -------------------------------------------------------------------------

    def _flagged(self) -> dict[int, int]:
        bits = self._engine.array("account_groups")["exposure"]["programme"]
        slots = np.flatnonzero(bits)
        return dict(zip(slots.tolist(), bits[slots].tolist(), strict=True))

    def _programme_flags(self, time: int, accounts: Array) -> list[Line]:
        """Trading accounts that have reached a threshold of today."""
        found = []
        groups = self._engine.array("account_groups")
        slots = sorted({slot for account in np.unique(accounts).tolist() if (slot := self._slot(account)) is not None})
        for slot in slots:
            bits = int(groups[slot]["exposure"]["programme"])
            new = bits & ~self._programme.get(slot, 0)
            if new:
                self._programme[slot] = bits
                names = [name for bit, name in PROGRAMME if new & bit]
                said = {"account_id": int(groups[slot]["id_0"]), "thresholds": names}
                found.append(_alert(time, "programme_trading", said))
        return found

    def _slot(self, account_id: int) -> int | None:
        accounts = self._engine.array("trading_accounts")
        if len(self._traders) < len(accounts):
            first = len(self._traders)
            self._traders |= {int(known): first + place for place, known in enumerate(accounts["id"][first:].tolist())}
        return self._traders.get(account_id)

    # --- the market ------------------------------------------------------------------------------

    def _market(self, time: int) -> list[Line]:
        """Instruments whose session is another one, and a new business day."""
        engine = self._engine
        instruments = engine.array("instruments")
        sessions = instruments["session"]
        was = self._sessions
        found = []
        if not np.array_equal(sessions, was):
            self._sessions = sessions.copy()
            known = len(was)
            for number in np.flatnonzero(sessions[:known] != was).tolist():
                said = {
                    "instrument": _symbol(instruments[number]),
                    "session": Session(int(sessions[number])).name.lower(),
                    "previous": Session(int(was[number])).name.lower(),
                }
                found.append(_alert(time, "session_changed", said))
        if engine.business_date != self._business_date:
            self._business_date = engine.business_date
            found.append(_alert(time, "business_day", {"business_date": self._business_date}))
        return found


def _alert(at: int, name: str, said: dict[str, Any]) -> Line:
    return at, json.dumps({"name": name} | said, separators=(",", ":"))[1:-1]


def _symbol(record: Any) -> str:
    return text_of([record[f"symbol_{word}"] for word in range(3)])


def _named(slot: int, group: Any) -> LimitScope:
    if slot == GROUP_DEFAULT:
        return LimitScope.DEFAULT
    return LimitScope.APPROVAL if slot == GROUP_APPROVAL else LimitScope(int(group["scope"]))


def _whose(scope: LimitScope, record: Any) -> dict[str, Any]:
    """Scope and its id, as get_limits says them."""
    said: dict[str, Any] = {"scope": scope.name.lower()}
    if scope == LimitScope.ACCOUNT:
        said["id"] = int(record["id_0"])
    elif scope not in {LimitScope.DEFAULT, LimitScope.APPROVAL}:
        said["id"] = text_of([record[f"id_{word}"] for word in range(3)])
    return said


def _values(limits: Any, bits: int) -> dict[str, Any]:
    """The limits that some bits name, as the protocol writes them."""
    found: dict[str, Any] = {}
    for name in LimitName:
        if bits & 1 << name:
            found[name.name.lower()] = _value(name, int(limits[name.name.lower()]))
    return found


def _value(name: LimitName, value: int) -> Any:
    if name in SWITCHES:
        return value == 1
    return SHORT_SALE[value] if name == LimitName.SHORT_SALE and value < len(SHORT_SALE) else value


def _proposal(record: Any) -> dict[str, Any]:
    said = {"proposal_id": int(record["proposal_id"])} | _whose(LimitScope(int(record["scope"])), record)
    if symbol := _symbol(record):
        said["instrument"] = symbol
    values = _values(record["values"], int(record["set"]))
    values |= {name.name.lower(): None for name in LimitName if int(record["unset"]) & 1 << name}
    said |= {"limits": values, "proposed_by": text_of([record[f"actor_{word}"] for word in range(3)])}
    if record["state"]:
        said["decided_by"] = text_of([record[f"decided_by_{word}"] for word in range(3)])
    return said


def _refusal(item: batches.Refusal) -> dict[str, Any]:
    said: dict[str, Any] = {"account_id": item.account_id, "request": "replace" if item.amend else "submit"}
    if item.order_id:
        said["order_id"] = item.order_id
    if item.client_order_id:
        said["client_order_id"] = uuid_text(item.client_order_id)
    if item.symbol:
        said["instrument"] = item.symbol.decode("ascii")
    said["reason"] = Reason(item.reason).name.lower()
    if item.check:
        said["check"] = item.check
    said |= {"scope": LimitScope(item.scope).name.lower(), "limit": item.limit, "used": item.used, "asked": item.asked}
    return said
