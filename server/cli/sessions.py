"""`tongbao session`, `sessions`, `end-of-day`: the day of a market."""

import asyncio
from datetime import UTC, datetime, time
from typing import Annotated, Literal

from cyclopts import Parameter

from server.cli.common import CommandError, Exit, Json, Target, err, out, print_json, run
from server.client import Client, InstrumentState, MarketResult
from server.profiles import NAMES, Phase, load

LOOK_SECONDS = 30.0
"""How often the clock is looked at again: it may have been set."""

ALWAYS = Phase(time(), "continuous", cancels=True)
"""Of a profile without a schedule."""

State = Literal["closed", "pre_open", "auction", "continuous", "halted"]


def session(
    instrument: str,
    state: State,
    *,
    target: Target = Target(),  # noqa: B008
    no_cancels: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Change the trading state of an instrument; leaving an auction uncrosses it.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 5 refused by the engine.

    Parameters
    ----------
    instrument
        Symbol.
    state
        The new state.
    no_cancels
        Orders may not be canceled while it lasts; for an auction.
    json
        Print one JSON document.
    """

    async def ask() -> MarketResult:
        async with target.client() as client:
            return await client.set_session(instrument, state, cancels=not no_cancels)

    return _told(run(ask()), json=json)


def end_of_day(
    business_date: int,
    *,
    target: Target = Target(),  # noqa: B008
    price: Annotated[list[str] | None, Parameter(negative="")] = None,
    json: Json = False,
) -> int:
    """End the business day: close every instrument, expire day orders, settle, take the new business date.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 5 refused by the engine.

    Parameters
    ----------
    business_date
        The day that begins, yyyymmdd.
    price
        SYMBOL=PRICE: a settlement price that is not the day's own. May be repeated.
    json
        Print one JSON document.
    """
    prices: dict[str, int] = {}
    for text in price or []:
        symbol, equals, number = text.partition("=")
        if not equals or not number.isascii() or not number.isdigit():
            raise CommandError(f"--price: {text!r} is not SYMBOL=PRICE")
        prices[symbol] = int(number)

    async def ask() -> MarketResult:
        async with target.client() as client:
            return await client.end_of_day(business_date, prices or None)

    return _told(run(ask()), json=json)


def _told(result: MarketResult, *, json: bool) -> int:
    if json:
        print_json({name: getattr(result, name) for name in result.__struct_fields__})
    else:
        text = f"{result.status} {result.reason}".strip()
        if result.uncrossed_quantity:
            text += f", uncrossed {result.uncrossed_quantity:,} at {result.uncrossed_price:,}"
        out().print(text)
    return Exit.OK if result.status == "done" else Exit.ITEM_REFUSED


def sessions(
    profile: str,
    instruments: list[str],
    *,
    target: Target = Target(),  # noqa: B008
    once: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Drive the trading states of instruments by the schedule of a profile and the clock of this machine.

    Runs until it is stopped, and may be stopped and started again at any time: an instrument that is in the right
    state is left alone. One that is halted stays so, unless --resume is given; what moved within a phase (a breaker's
    auction) stays until the next. Holidays are not in the profile: do not run it then.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 130 stopped by Ctrl-C.

    Parameters
    ----------
    profile
        a-share, zce-futures or crypto-spot.
    instruments
        Symbols.
    once
        Bring the instruments into the state of this moment and end.
    resume
        Also those that are halted.
    """
    if profile not in NAMES:
        raise CommandError(f"{profile!r} is not one of {', '.join(NAMES)}")
    run(_drive(target, profile, instruments, once=once, resume=resume))
    return Exit.OK


async def _drive(target: Target, profile: str, instruments: list[str], *, once: bool, resume: bool) -> None:
    schedule = load(profile)
    async with target.client() as client:
        done: Phase | None = None
        while True:
            now = datetime.now(UTC)
            phase = schedule.phase(now) or ALWAYS
            if phase != done:
                for instrument in instruments:
                    await bring(client, instrument, phase, resume=resume)
                done = phase
            if once:
                return
            change = schedule.next_change(now)
            wait = LOOK_SECONDS
            if change is not None:
                wait = min(wait, max(0.0, (change - datetime.now(UTC)).total_seconds()))
            await asyncio.sleep(wait)


async def bring(client: Client, instrument: str, phase: Phase, *, resume: bool) -> bool:
    """Bring an instrument into the state of a phase; tell whether something had to be done."""
    found: list[InstrumentState] = await client.get_instruments(instrument=instrument)
    state = found[0]
    if state.session == "halted" and not resume:
        err().print(f"{instrument}: is halted and stays so")
        return False
    if (state.session, state.cancels) == (phase.state, phase.cancels):
        return False
    result = await client.set_session(instrument, phase.state, cancels=phase.cancels)
    text = f"{instrument}: {state.session} -> {phase.state}"
    if result.uncrossed_quantity:
        text += f", uncrossed {result.uncrossed_quantity:,} at {result.uncrossed_price:,}"
    out().print(text if result.status == "done" else f"{text}: {result.status} {result.reason}")
    return result.status == "done"
