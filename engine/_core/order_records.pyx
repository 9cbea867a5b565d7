"""The NumPy dtypes of the records in `order_records.pxd`, derived from the structs themselves; sizes are checked as in `records.pyx`."""

import numpy as np


cdef InstrumentCommand instrument_command_model
cdef TradingAccountCommand trading_account_command_model
cdef LinkCommand link_command_model
cdef OrderCommand order_command_model
cdef AmendCommand amend_command_model
cdef MassCancelCommand mass_cancel_command_model
cdef SessionCommand session_command_model
cdef DayCommand day_command_model
cdef TradeCommand trade_command_model
cdef OrderResult order_result_model
cdef Fill fill_model
cdef ExecutionView execution_view_model
cdef OrderView order_view_model
cdef LevelView level_view_model
cdef BookView book_view_model
cdef TradeView trade_view_model
cdef PositionView position_view_model
cdef OrderFilter order_filter_model

INSTRUMENT_COMMAND = np.asarray(<InstrumentCommand[:1]>&instrument_command_model).dtype
TRADING_ACCOUNT_COMMAND = np.asarray(<TradingAccountCommand[:1]>&trading_account_command_model).dtype
LINK_COMMAND = np.asarray(<LinkCommand[:1]>&link_command_model).dtype
ORDER_COMMAND = np.asarray(<OrderCommand[:1]>&order_command_model).dtype
AMEND_COMMAND = np.asarray(<AmendCommand[:1]>&amend_command_model).dtype
MASS_CANCEL_COMMAND = np.asarray(<MassCancelCommand[:1]>&mass_cancel_command_model).dtype
SESSION_COMMAND = np.asarray(<SessionCommand[:1]>&session_command_model).dtype
DAY_COMMAND = np.asarray(<DayCommand[:1]>&day_command_model).dtype
TRADE_COMMAND = np.asarray(<TradeCommand[:1]>&trade_command_model).dtype
ORDER_RESULT = np.asarray(<OrderResult[:1]>&order_result_model).dtype
FILL = np.asarray(<Fill[:1]>&fill_model).dtype
EXECUTION_VIEW = np.asarray(<ExecutionView[:1]>&execution_view_model).dtype
ORDER_VIEW = np.asarray(<OrderView[:1]>&order_view_model).dtype
LEVEL_VIEW = np.asarray(<LevelView[:1]>&level_view_model).dtype
BOOK_VIEW = np.asarray(<BookView[:1]>&book_view_model).dtype
TRADE_VIEW = np.asarray(<TradeView[:1]>&trade_view_model).dtype
POSITION_VIEW = np.asarray(<PositionView[:1]>&position_view_model).dtype
ORDER_FILTER = np.asarray(<OrderFilter[:1]>&order_filter_model).dtype

SIZES = {
    "InstrumentCommand": (INSTRUMENT_COMMAND, 136),
    "TradingAccountCommand": (TRADING_ACCOUNT_COMMAND, 64),
    "LinkCommand": (LINK_COMMAND, 16),
    "OrderCommand": (ORDER_COMMAND, 112),
    "AmendCommand": (AMEND_COMMAND, 64),
    "MassCancelCommand": (MASS_CANCEL_COMMAND, 48),
    "SessionCommand": (SESSION_COMMAND, 32),
    "DayCommand": (DAY_COMMAND, 40),
    "TradeCommand": (TRADE_COMMAND, 16),
    "OrderResult": (ORDER_RESULT, 48),
    "Fill": (FILL, 40),
    "ExecutionView": (EXECUTION_VIEW, 168),
    "OrderView": (ORDER_VIEW, 200),
    "LevelView": (LEVEL_VIEW, 24),
    "BookView": (BOOK_VIEW, 136),
    "TradeView": (TRADE_VIEW, 152),
    "PositionView": (POSITION_VIEW, 144),
    "OrderFilter": (ORDER_FILTER, 96),
}
for _name, (_dtype, _size) in SIZES.items():
    if _dtype.itemsize != _size:
        raise ImportError(f"engine._core.order_records: {_name} takes {_dtype.itemsize} bytes, not {_size}")
