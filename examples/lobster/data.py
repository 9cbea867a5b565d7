"""Reads the LOBSTER samples: one file of messages, one with the book after each of them.

Prices are US dollars x 10,000, sizes are shares, both whole numbers. See https://lobsterdata.com for the format.
"""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAMPLES: Final = (("AMZN", 5), ("AMZN", 1), ("AAPL", 1))
"""Symbol and number of price levels of each sample."""

TICK: Final = 100
"""Of all prices but those of hidden executions."""

NEW, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, HALT = 1, 2, 3, 4, 5, 7
"""Types of messages."""

BUY, SELL = 0, 1
"""Side of the resting order, numbered as `engine.order_results.Side`."""

_NAME = "{symbol}_2012-06-21_34200000_57600000_{kind}_{levels}.csv.gz"


class DataError(Exception):
    """The data are not what they should be; the message names the file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. The book of row n is the visible book right after the message of row n."""

    symbol: str
    levels: int
    """Price levels on each side that the book covers."""
    type: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    """The order's id; of an execution, of the resting order."""
    size: npt.NDArray[np.int64]
    price: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]
    book: npt.NDArray[np.int64]
    """(rows, side, level, price and size), best level first; 9999999999 (ask, negative for a bid) and 0 is no level."""

    def __len__(self) -> int:
        """Give the number of messages."""
        return len(self.type)

    def first(self, rows: int) -> "Sample":
        """Give the first `rows` events."""
        return Sample(
            self.symbol, self.levels, self.type[:rows], self.order[:rows], self.size[:rows], self.price[:rows],
            self.side[:rows], self.book[:rows],
        )  # fmt: skip


def find() -> Path | None:
    """Give the directory of the data: in TONGBAO_SHARED_DATA, or beside the repository; None when it is not there."""
    roots = [Path(__file__).resolve().parents[3] / "shared" / "data"]
    if os.environ.get("TONGBAO_SHARED_DATA"):
        roots.insert(0, Path(os.environ["TONGBAO_SHARED_DATA"]))
    for root in roots:
        if (root / "lobster" / _NAME.format(symbol="AMZN", kind="message", levels=5)).is_file():
            return root / "lobster"
    return None


def read(directory: Path, symbol: str, levels: int) -> Sample:
    """Read one sample."""
    # The time may have a fraction; nothing here needs it.
    messages = _read(directory / _NAME.format(symbol=symbol, kind="message", levels=levels), range(1, 6))
    books = _read(directory / _NAME.format(symbol=symbol, kind="orderbook", levels=levels), range(4 * levels))
    if len(messages) != len(books):
        raise DataError(f"{symbol}: {len(messages)} messages and {len(books)} books")
    # A level is ask price, ask size, bid price, bid size.
    book = books.reshape(len(books), levels, 2, 2)[:, :, ::-1].transpose(0, 2, 1, 3)
    type_, order, size, price, direction = messages.T
    side = np.where(direction == 1, BUY, SELL)
    return Sample(symbol, levels, type_, order, size, price, side, np.ascontiguousarray(book))


def _read(path: Path, columns: range) -> npt.NDArray[np.int64]:
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            array: npt.NDArray[Any] = np.loadtxt(file, np.int64, delimiter=",", usecols=tuple(columns), ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: {error}") from None
    return array
