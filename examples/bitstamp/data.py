"""Reads the order events, trades and books of Bitstamp's BTC/USD market, 2015-05-01.

Prices become US cents and amounts 10^-8 bitcoin, exactly.
"""

import gzip
import os
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

FILE: Final = "events.log.gz"
DEPTH: Final = 20
"""Levels on each side of the exchange's books."""


class DataError(Exception):
    """The data are not what they should be; the message names the place."""


class Action(IntEnum):
    """What happened to an order."""

    CREATED = 0
    CHANGED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class Event:
    """One order event."""

    time: int
    """When it was received, in milliseconds; so for all times."""
    action: Action
    order: int
    side: int
    """0 buy, 1 sell, as `engine.order_results.Side`."""
    price: int
    amount: int
    """What is left of the order after the event; of DELETED, what was canceled (0: it was filled)."""


@dataclass(frozen=True, slots=True)
class Print:
    """One trade as the exchange told it, after so many events."""

    time: int
    events: int
    id: int
    price: int
    amount: int


@dataclass(slots=True)
class Feed:
    """All that was received, in order."""

    events: list[Event] = field(default_factory=list)
    prints: list[Print] = field(default_factory=list)
    book_times: list[int] = field(default_factory=list)
    book_events: list[int] = field(default_factory=list)
    """How many events came before each book."""
    books: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(books, side, level, price and amount), best level first."""


def find() -> Path | None:
    """Give the directory of the data: in TONGBAO_SHARED_DATA, or beside the repository; None when it is not there."""
    roots = [Path(__file__).resolve().parents[3] / "shared" / "data"]
    if os.environ.get("TONGBAO_SHARED_DATA"):
        roots.insert(0, Path(os.environ["TONGBAO_SHARED_DATA"]))
    for root in roots:
        if (root / "bitstamp_l3_btcusd" / FILE).is_file():
            return root / "bitstamp_l3_btcusd"
    return None


def scaled(text: str, places: int) -> int:
    """Turn a decimal number into an integer of units of 10^-places, exactly but for the noise of a printed double."""
    value = Decimal(text).scaleb(places)
    whole = round(value)
    if abs(value - whole) > Decimal("1e-3"):
        raise ValueError(f"{text!r} has more than {places} decimals")
    return whole


def read(directory: Path) -> Feed:
    """Read the log of events."""
    feed = Feed()
    books: list[list[Any]] = []
    actions = {f"order_{action.name.lower()}": action for action in Action}
    # The numbers of a trade are printed doubles (1.7885566900000001); they are read as text.
    decoder = msgspec.json.Decoder(float_hook=str)
    try:
        with gzip.open(directory / FILE, "rt", encoding="ascii") as file:
            for line in file:
                if not line.strip():
                    continue
                time, kind, text = line.split(maxsplit=2)
                value = decoder.decode(text)
                if kind in actions:
                    price, amount = scaled(value["price"], 2), scaled(value["amount"], 8)
                    feed.events.append(Event(int(time), actions[kind], value["id"], value["order_type"], price, amount))
                elif kind == "trade":
                    price, amount = scaled(str(value["price"]), 2), scaled(str(value["amount"]), 8)
                    feed.prints.append(Print(int(time), len(feed.events), value["id"], price, amount))
                elif kind == "order_book":
                    books.append([[[scaled(p, 2), scaled(a, 8)] for p, a in value[side]] for side in ("bids", "asks")])
                    feed.book_times.append(int(time))
                    feed.book_events.append(len(feed.events))
                else:
                    raise ValueError(f"{kind!r} is not an event")
    except (OSError, ValueError, KeyError, TypeError, InvalidOperation, msgspec.DecodeError) as error:
        raise DataError(f"{FILE}, behind event {len(feed.events)}: {error}") from None
    feed.books = np.array(books, np.int64)
    return feed
