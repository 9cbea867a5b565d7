"""The NumPy dtypes of the records in `records.pxd`; sizes are checked as in `engine/_core/records.pyx`."""

import numpy as np

cdef TradingAccount trading_account
cdef Link link
cdef Holding holding
cdef Position position
cdef Trade trade
cdef Execution execution
cdef ExchangeState exchange_state

TRADING_ACCOUNT = np.asarray(<TradingAccount[:1]>&trading_account).dtype
LINK = np.asarray(<Link[:1]>&link).dtype
HOLDING = np.asarray(<Holding[:1]>&holding).dtype
POSITION = np.asarray(<Position[:1]>&position).dtype
TRADE = np.asarray(<Trade[:1]>&trade).dtype
EXECUTION = np.asarray(<Execution[:1]>&execution).dtype
EXCHANGE_STATE = np.asarray(<ExchangeState[:1]>&exchange_state).dtype

SIZES = {
    "TradingAccount": (TRADING_ACCOUNT, 104),
    "Link": (LINK, 16),
    "Holding": (HOLDING, 48),
    "Position": (POSITION, 152),
    "Trade": (TRADE, 152),
    "Execution": (EXECUTION, 64),
    "ExchangeState": (EXCHANGE_STATE, 64),
}
for _name, (_dtype, _size) in SIZES.items():
    if _dtype.itemsize != _size:
        raise ImportError(f"engine.settlement.records: {_name} takes {_dtype.itemsize} bytes, not {_size}")
