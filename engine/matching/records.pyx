"""The NumPy dtypes of the records in `records.pxd`; sizes are checked as in `engine/_core/records.pyx`."""

import numpy as np

cdef Order order
cdef OrderDetail order_detail
cdef Level level
cdef Node node
cdef Instrument instrument

ORDER = np.asarray(<Order[:1]>&order).dtype
ORDER_DETAIL = np.asarray(<OrderDetail[:1]>&order_detail).dtype
LEVEL = np.asarray(<Level[:1]>&level).dtype
NODE = np.dtype([("used", np.uint64), ("children", np.uint32, 64)])
_SIDE = np.dtype([
    ("total", np.uint64), ("best", np.uint32), ("root", np.uint32), ("height", np.uint32), ("leaf", np.uint32),
    ("leaf_base", np.uint32), ("levels", np.uint32), ("orders", np.uint32), ("reserved", np.uint32)])
_WIDE = (
    "symbol_0", "symbol_1", "symbol_2", "tick_size", "tick_inverse", "price_max", "lot_size", "price_scale", "contract_size",
    "minimum_fee", "reference_price", "volume", "turnover", "fee_account_id", "updated")
_MIDDLE = (
    "base_ledger", "quote_ledger", "maker_fee_ppm", "taker_fee_ppm", "transfer_fee_ppm", "sell_duty_ppm", "price_band_ppm",
    "price_cage_ppm", "circuit_breaker_ppm", "market_protection_ppm", "initial_margin_ppm", "maintenance_margin_ppm",
    "fee_account", "base_clearing", "quote_clearing", "tick_shift", "limit_down", "limit_up", "last_price", "breaker_price",
    "open_price", "high_price", "low_price", "slices", "guarded", "positions")
INSTRUMENT = np.dtype([
    *((name, np.uint64) for name in _WIDE), *((name, np.uint32) for name in _MIDDLE),
    *((name, np.uint16) for name in ("flags", "session", "session_flags", "session_first")), ("sides", _SIDE, 4)])

SIZES = {
    "Order": (ORDER, 64, sizeof(Order)),
    "OrderDetail": (ORDER_DETAIL, 128, sizeof(OrderDetail)),
    "Level": (LEVEL, 32, sizeof(Level)),
    "Node": (NODE, 264, sizeof(Node)),
    "Instrument": (INSTRUMENT, 392, sizeof(Instrument)),
}
for _name, (_dtype, _size, _sizeof) in SIZES.items():
    if _dtype.itemsize != _size or _sizeof != _size:
        raise ImportError(f"engine.matching.records: {_name} takes {_dtype.itemsize} and {_sizeof} bytes, not {_size}")
