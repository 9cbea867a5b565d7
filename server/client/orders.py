"""The order methods of the asyncio client."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.client import limits, trading
from server.client.calls import Call
from server.client.limits import KillResult, LimitsResult, LimitsState, Proposal
from server.client.trading import (
    Book,
    Execution,
    InstrumentState,
    MarketResult,
    Order,
    OrderResult,
    OrderState,
    Position,
    Replace,
    Trade,
    TradeResult,
)
from server.client.values import Result


class OrderMethods:
    """The order methods of `Client`."""

    async def _send(self, call: Call[Any], deadline_s: float | None) -> Any:
        raise NotImplementedError

    async def create_instruments(
        self, instruments: Sequence[dict[str, Any]], *, deadline_s: float | None = None
    ) -> list[Result]:
        """List instruments; members as in the protocol, a `profile` among them. Safe to send again."""
        result: list[Result] = await self._send(trading.create_instruments(instruments), deadline_s)
        return result

    async def update_instruments(
        self, changes: Sequence[dict[str, Any]], *, deadline_s: float | None = None
    ) -> list[Result]:
        """Change terms of instruments."""
        result: list[Result] = await self._send(trading.update_instruments(changes), deadline_s)
        return result

    async def create_trading_accounts(
        self, accounts: Sequence[dict[str, Any]], *, deadline_s: float | None = None
    ) -> list[Result]:
        """Create trading accounts: id, accounts (ledger -> ledger account), owner, desk. Safe to send again."""
        result: list[Result] = await self._send(trading.create_trading_accounts(accounts), deadline_s)
        return result

    async def submit_orders(self, orders: Sequence[Order], *, deadline_s: float | None = None) -> list[OrderResult]:
        """Submit orders; one result per order, in order. Safe to send again: the second copy is answered `exists`."""
        result: list[OrderResult] = await self._send(trading.submit_orders(orders), deadline_s)
        return result

    async def cancel_orders(self, orders: Sequence[Replace], *, deadline_s: float | None = None) -> list[OrderResult]:
        """Cancel orders, named by `order_id` or `client_order_id`."""
        result: list[OrderResult] = await self._send(trading.cancel_orders(orders), deadline_s)
        return result

    async def replace_orders(self, orders: Sequence[Replace], *, deadline_s: float | None = None) -> list[OrderResult]:
        """Change the quantity (the new total), price or stop price of orders."""
        result: list[OrderResult] = await self._send(trading.replace_orders(orders), deadline_s)
        return result

    async def mass_cancel(self, *, deadline_s: float | None = None, **members: Any) -> MarketResult:
        """Cancel all orders that fit: account_id, instrument, side."""
        result: MarketResult = await self._send(trading.market("mass_cancel", members), deadline_s)
        return result

    async def set_session(
        self, instrument: str, state: str, *, cancels: bool | None = None, deadline_s: float | None = None
    ) -> MarketResult:
        """Change the trading state of an instrument."""
        result: MarketResult = await self._send(
            trading.market("set_session", {"instrument": instrument, "state": state, "cancels": cancels}), deadline_s
        )
        return result

    async def end_of_day(
        self, business_date: int, settlement_prices: dict[str, int] | None = None, *, deadline_s: float | None = None
    ) -> MarketResult:
        """End the business day; the date (yyyymmdd) is that of the day that begins."""
        result: MarketResult = await self._send(
            trading.market("end_of_day", {"business_date": business_date, "settlement_prices": settlement_prices}),
            deadline_s,
        )
        return result

    async def bust_trades(self, trade_ids: Sequence[int], *, deadline_s: float | None = None) -> list[TradeResult]:
        """Reverse trades."""
        result: list[TradeResult] = await self._send(trading.bust_trades(trade_ids), deadline_s)
        return result

    async def correct_trades(self, prices: dict[int, int], *, deadline_s: float | None = None) -> list[TradeResult]:
        """Give trades another price: trade id -> price."""
        result: list[TradeResult] = await self._send(trading.correct_trades(prices), deadline_s)
        return result

    async def get_orders(self, *, deadline_s: float | None = None, **members: Any) -> list[OrderState]:
        """Give orders: account_id or instrument; order_id, open_only, after, times, limit, reversed."""
        result: list[OrderState] = await self._send(trading.read("get_orders", list[OrderState], members), deadline_s)
        return result

    async def get_book(self, instrument: str, depth: int | None = None, *, deadline_s: float | None = None) -> Book:
        """Give the book of an instrument, `depth` levels per side."""
        result: Book = await self._send(
            trading.read("get_book", Book, {"instrument": instrument, "depth": depth}), deadline_s
        )
        return result

    async def get_trades(self, *, deadline_s: float | None = None, **members: Any) -> list[Trade]:
        """Give trades: account_id, instrument, after, from_seq, timestamp_min, timestamp_max, limit, reversed."""
        result: list[Trade] = await self._send(trading.read("get_trades", list[Trade], members), deadline_s)
        return result

    async def get_positions(self, *, deadline_s: float | None = None, **members: Any) -> list[Position]:
        """Give positions: account_id, instrument, limit."""
        result: list[Position] = await self._send(trading.read("get_positions", list[Position], members), deadline_s)
        return result

    async def get_margin_calls(self, *, deadline_s: float | None = None, **members: Any) -> list[Position]:
        """Give the positions that must pay in, as `call`: account_id, instrument, limit."""
        result: list[Position] = await self._send(trading.read("get_margin_calls", list[Position], members), deadline_s)
        return result

    async def get_executions(self, *, deadline_s: float | None = None, **members: Any) -> list[Execution]:
        """Give executions: account_id, instrument, order_id, after, from_seq, times, limit, reversed."""
        result: list[Execution] = await self._send(trading.read("get_executions", list[Execution], members), deadline_s)
        return result

    async def get_instruments(self, *, deadline_s: float | None = None, **members: Any) -> list[InstrumentState]:
        """Give the state of instruments: instrument, limit."""
        result: list[InstrumentState] = await self._send(
            trading.read("get_instruments", list[InstrumentState], members), deadline_s
        )
        return result

    async def set_limits(
        self, items: Sequence[Mapping[str, Any]], *, deadline_s: float | None = None
    ) -> list[LimitsResult]:
        """Set limits: items with scope, id, instrument and limits by name; None takes one away. Never sent twice."""
        result: list[LimitsResult] = await self._send(limits.set_limits(items), deadline_s)
        return result

    async def kill_switch(
        self,
        scope: str,
        id: int | str | None = None,  # noqa: A002
        *,
        on: bool,
        deadline_s: float | None = None,
    ) -> KillResult:
        """Refuse all orders of a scope and cancel those that are open, or (`on=False`) take orders again."""
        result: KillResult = await self._send(limits.kill_switch(scope, id, on=on), deadline_s)
        return result

    async def approve_limits(
        self, decisions: Mapping[int, bool], *, deadline_s: float | None = None
    ) -> list[LimitsResult]:
        """Approve (True) or decline (False) proposals by their ids. Never sent twice."""
        result: list[LimitsResult] = await self._send(limits.approve_limits(decisions), deadline_s)
        return result

    async def get_limits(self, *, deadline_s: float | None = None, **members: Any) -> list[LimitsState]:
        """Give limits with what is used of them: scope, id, after, limit. Go on with `after` until nothing comes."""
        result: list[LimitsState] = await self._send(limits.read("get_limits", list[LimitsState], members), deadline_s)
        return result

    async def get_proposals(self, *, deadline_s: float | None = None, **members: Any) -> list[Proposal]:
        """Give proposals, oldest first: after, limit."""
        result: list[Proposal] = await self._send(limits.read("get_proposals", list[Proposal], members), deadline_s)
        return result
