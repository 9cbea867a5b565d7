"""What payments ask of an outside rail, and where rails are registered.

A rail never answers here: each call writes what is to be sent in the transaction at hand and returns. What the rail
says comes back later through `payments.service.rail_event`, in any order and any number of times.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from backoffice.context import Context
from backoffice.problems import invalid

Payment = Mapping[str, Any]
"""A row of `payments`; the party outside is read with `payments.outside.party_of`."""


class Rail(Protocol):
    """A way out of the house. `name` is also the channel of payments that come by it.

    `clearing`: line of the chart (3001, 1011 …) and part (0 to 99) of the own account on which its payments stand
    until it has settled with us.
    """

    @property
    def name(self) -> str:
        """Lower-case, stable: it stands in rows."""
        ...

    @property
    def clearing(self) -> tuple[int, int]:
        """Line of the chart and part."""
        ...

    async def authorise(self, context: Context, payment: Payment) -> None:
        """The money is held with us (mode `held`): carry the payment out, or tell whoever asked that it is held.

        Mode `asked`: nothing is held yet, ask the other side to hold; it answers with an AUTHORISE event.
        """
        ...

    async def decline(self, context: Context, payment: Payment) -> None:
        """We do not carry it out; `payment["reason"]` says why."""
        ...

    async def capture(self, context: Context, payment: Payment, amount_minor: int) -> None:
        """We ask for a hold to be turned into a payment of this amount; a CAPTURE event says that it has been."""
        ...

    async def void(self, context: Context, payment: Payment) -> None:
        """We give a hold up; a VOID event says that it has been."""
        ...

    async def refund(self, context: Context, payment: Payment, amount_minor: int, request_id: str) -> None:
        """We ask for money to go back; a REFUND event says that it has. `request_id` is stable when sent again."""
        ...


RAILS: Final[dict[str, Rail]] = {}


def register(rail: Rail) -> None:
    """Make a rail known; once, at import."""
    if RAILS.setdefault(rail.name, rail) is not rail:
        raise ValueError(f"rails: {rail.name} is registered twice")


def rail_of(name: str) -> Rail:
    """Give a rail; Problem that names the field when there is none of this name."""
    if name not in RAILS:
        raise invalid("rail", f"{name!r} is none of {', '.join(sorted(RAILS)) or 'those that are set up (none)'}")
    return RAILS[name]
