"""The four rails as payments see them: each call writes what is to be sent, in the transaction of the payment.

Nothing is sent from here. A rail that is not active, or an amount above its limit, makes an event of our own that
declines; so the answer comes the same way as a rail's.
"""

from datetime import timedelta
from typing import ClassVar, Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from backoffice.context import Context
from backoffice.payments.outside import party_of
from backoffice.payments.rails_api import Payment, register
from backoffice.problems import Code, Problem
from backoffice.rails import service
from backoffice.rails.tables import outbox, rail_events
from backoffice.rails.wire import EventKind, EventOut, Operation, OperationIn, RailKind

SETTLEMENT_LINE: Final = 3001


def name_at_rail(payment: Payment) -> str:
    """Give the name under which the rail knows a payment: our number, or its own for one that came by it."""
    return str(payment["reference"] if payment["channel"] == payment["rail"] else payment["number"])


class HttpRail:
    """What the four have in common; see `payments.rails_api.Rail`."""

    kind: ClassVar[RailKind]
    part: ClassVar[int]
    """Of line 3001: the account on which the rail's payments stand until it has settled."""
    order_kind: ClassVar[str]
    """What a payment over this rail is called."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What must be known of the other side."""

    @property
    def name(self) -> str:
        """The rail's name is its kind."""
        return self.kind.value

    @property
    def clearing(self) -> tuple[int, int]:
        """Line of the chart and part."""
        return SETTLEMENT_LINE, self.part

    async def instrument(self, context: Context, payment: Payment) -> dict[str, str]:  # noqa: ARG002
        """Give with what is paid, or who; only what the rail needs leaves the house."""
        given = payment["detail"].get("instrument", {})
        return {name: str(given[name]) for name in self.needs if name in given}

    async def authorise(self, context: Context, payment: Payment) -> None:
        """Order the payment, or the collection; for one that came by the rail the callback's answer tells."""
        if payment["channel"] == payment["rail"]:
            return
        row = await service.get(context, self.name)
        amount = payment["ordered_minor"]
        if not row["active"] or amount > row["amount_minor_max"]:
            await self._decline_here(context, payment, "rail_limit" if row["active"] else "rail_not_active")
            return
        await self._order(
            context, payment, Operation.AUTHORISE, f"{payment['number']}-A", amount, collect=payment["mode"] == "asked",
        )  # fmt: skip

    async def decline(self, context: Context, payment: Payment) -> None:
        """Give up what the other side holds for us, unless it has declined itself or was never asked."""
        if payment["mode"] != "asked" or payment["sent_at"] is None:
            return
        theirs = select(func.count()).where(
            rail_events.c.rail == self.name,
            rail_events.c.payment == name_at_rail(payment),
            rail_events.c.kind == EventKind.DECLINE.value,
        )
        if not await context.connection.scalar(theirs):
            await self.void(context, payment)

    async def capture(self, context: Context, payment: Payment, amount_minor: int) -> None:
        """Order a capture, one at a time."""
        await self._order_again(context, payment, Operation.CAPTURE, f"{payment['number']}-C", amount_minor)

    async def void(self, context: Context, payment: Payment) -> None:
        """Order a void, one at a time."""
        await self._order_again(context, payment, Operation.VOID, f"{payment['number']}-V", 0)

    async def refund(self, context: Context, payment: Payment, amount_minor: int, request_id: str) -> None:
        """Order a refund, once for each request."""
        await self._order_again(context, payment, Operation.REFUND, request_id, amount_minor)

    async def _order_again(
        self, context: Context, payment: Payment, operation: Operation, base: str, amount_minor: int
    ) -> None:
        """Order under a new reference if what was ordered before has been refused.

        While it has no answer, a void is under way already, and anything else is a Problem.
        """
        earlier = outbox.c.reference.startswith(f"{base}-", autoescape=True)
        before = select(
            func.count().label("all"),
            func.count().filter(outbox.c.state.in_(["waiting", "pending", "given_up"])).label("open"),
            func.count().filter(outbox.c.state == "done").label("done"),
        ).where(outbox.c.payment_id == payment["payment_id"], earlier)
        found = (await context.connection.execute(before)).mappings().one()
        if found["open"] and operation is Operation.VOID:
            return
        if found["open"]:
            raise Problem(Code.IN_PROGRESS, f"the {operation} of {payment['number']} has no answer yet")
        if not found["done"]:
            await self._order(context, payment, operation, f"{base}-{found['all'] + 1}", amount_minor)

    async def _order(
        self,
        context: Context,
        payment: Payment,
        operation: Operation,
        reference: str,
        amount_minor: int,
        *,
        collect: bool = False,
    ) -> None:
        """Write an order; who or what it is paid with is personal, and is added when it is sent (`sending`)."""
        row = await service.get(context, self.name)
        body = OperationIn(
            reference=reference,
            operation=operation,
            payment=name_at_rail(payment),
            amount_minor=amount_minor,
            currency=payment["currency"],
            collect=collect,
        )
        now = context.clock()
        order = insert(outbox).values(
            reference=reference, rail=self.name, payment_id=payment["payment_id"], operation=operation.value,
            body=body.model_dump(mode="json"), next_at=now, give_up_at=now + timedelta(minutes=row["give_up_minutes"]),
            made_at=now,
        )  # fmt: skip
        await context.connection.execute(order.on_conflict_do_nothing())

    async def _decline_here(self, context: Context, payment: Payment, reason: str) -> None:
        event = EventOut(
            id=f"office-{payment['number']}", kind=EventKind.DECLINE, payment=name_at_rail(payment),
            rail_reference="office", currency=payment["currency"], at=context.clock(), reason=reason,
        )  # fmt: skip
        values = {
            "rail": self.name, "event_id": event.id, "kind": event.kind.value, "payment": event.payment,
            "body": event.model_dump(mode="json"), "source": "office", "told_at": context.clock(),
        }  # fmt: skip
        await context.connection.execute(insert(rail_events).values(**values).on_conflict_do_nothing())


class CardRail(HttpRail):
    """Bank cards: two messages, a hold first and the capture later, wholly or in part."""

    kind = RailKind.CARD
    part = 11
    order_kind = "card"
    needs = ("card_token",)


class WalletRail(HttpRail):
    """Mobile wallets: one message, the hold is captured with it."""

    kind = RailKind.WALLET
    part = 12
    order_kind = "wallet"
    needs = ("wallet",)


class QrRail(HttpRail):
    """Codes: shown by who is paid (the payer scans) or by who pays (the payee scans)."""

    kind = RailKind.QR
    part = 13
    order_kind = "qr"
    needs = ("code",)


class InterbankRail(HttpRail):
    """Credit transfers to other banks; a transfer that the other bank returns comes back as a reversal (退汇)."""

    kind = RailKind.INTERBANK
    part = 14
    order_kind = "transfer"
    needs = ("account", "name", "bank")

    async def instrument(self, context: Context, payment: Payment) -> dict[str, str]:
        """Give the payee: account, name and bank."""
        party = await party_of(context, payment)
        if party is None:
            return await super().instrument(context, payment)
        bank = party.bank.bic or party.bank.member or party.bank.name
        return {"account": str(party.account or party.iban), "name": party.name[:140], "bank": str(bank)}


ADAPTERS: Final = {rail.name: rail for rail in (CardRail(), WalletRail(), QrRail(), InterbankRail())}
for _rail in ADAPTERS.values():
    register(_rail)
