"""Limits for both clients: what goes into a call and what comes out of it. See docs/RISK.md for what each limit means.

Values are whole numbers in the units of docs/RISK.md, `restricted` and `kill_switch` booleans, `short_sale` a name;
None takes a limit away. Timestamps are nanoseconds since 1970-01-01 UTC.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from server.client import codec
from server.client.calls import Call
from server.client.errors import ProtocolError

LimitValue = int | bool | str | None


class LimitsResult(msgspec.Struct, frozen=True):
    """What became of one item of set_limits or approve_limits."""

    status: str
    timestamp: int
    proposal_id: int = 0
    """With the status `proposed`: what a second person is to approve."""

    @property
    def done(self) -> bool:
        """Whether the limits are in force now."""
        return self.status in {"limits_set", "approved"}


class KillResult(msgspec.Struct, frozen=True):
    """What became of a kill switch."""

    status: str
    canceled: int
    timestamp: int
    reason: str = ""


class Used(msgspec.Struct, frozen=True):
    """What limits are held against; money in minor units of the risk currency."""

    open_orders: int
    open_buy: int
    open_sell: int
    long_value: int
    short_value: int
    realised: int
    unrealised: int
    traded: int
    messages: int
    trades: int
    programme: list[str]
    """Which thresholds of programme trading were reached today."""


class LimitsState(msgspec.Struct, frozen=True):
    """The limits of one scope and id, and what is used of them."""

    number: int
    """Place in the list, for `after`."""
    scope: str
    limits: dict[str, int | bool | str]
    """In force; what is not limited is not in it."""
    own: list[str]
    """Those that were set here; the others come from `default`."""
    updated: int
    id: int | str | None = None
    instrument: str = ""
    """Not empty: limits in this instrument by itself; they have no `used` and no `headroom`."""
    used: Used | None = None
    headroom: dict[str, int] = {}


class Proposal(msgspec.Struct, frozen=True):
    """A raise of limits that waits for a second person, or did."""

    proposal_id: int
    state: str
    """open, approved or declined."""
    scope: str
    limits: dict[str, int | bool | str | None]
    proposed_by: str
    timestamp: int
    id: int | str | None = None
    instrument: str = ""
    decided_by: str = ""
    decided_at: int = 0


def _call(method: str, params: bytes, kind: Any, *, safe: bool, items: int | None = None) -> Call[Any]:
    decoder = msgspec.json.Decoder(kind)

    def decode(raw: bytes) -> Any:
        try:
            return decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"the server sent a result of another shape: {error}") from None

    return Call(method, params, decode, safe, items)


def set_limits(items: Sequence[Mapping[str, Any]]) -> Call[Any]:
    """Set limits; never sent twice: what needs a second person would be proposed twice."""
    return _call("set_limits", codec.params_text(list(items)), list[LimitsResult], safe=False, items=len(items))


def kill_switch(scope: str, id_: int | str | None, *, on: bool) -> Call[Any]:
    """Stop or release; safe to send again."""
    members: dict[str, Any] = {"scope": scope, "on": on}
    if id_ is not None:
        members["id"] = id_
    return _call("kill_switch", codec.params_text(members), KillResult, safe=True)


def approve_limits(decisions: Mapping[int, bool]) -> Call[Any]:
    """Approve or decline proposals: proposal id -> whether it is approved."""
    text = msgspec.json.encode([{"proposal_id": number, "approve": yes} for number, yes in decisions.items()])
    return _call("approve_limits", text, list[LimitsResult], safe=False, items=len(decisions))


def read(method: str, kind: Any, members: Mapping[str, Any]) -> Call[Any]:
    """Make a call of get_limits or get_proposals; None leaves a member out."""
    given = {name: value for name, value in members.items() if value is not None}
    return _call(method, codec.params_text(given), kind, safe=True)
