"""The NumPy dtypes of the records in `records.pxd`, derived from the structs themselves.

Loading stops when a struct's size differs from the one written down, since snapshots and clients of the
embedding interface rely on it.
"""

import numpy as np


cdef AccountCommand account_command
cdef TransferCommand transfer_command
cdef UpdateCommand update_command
cdef ScopeRange scope_range
cdef Filter filter_record
cdef Result result
cdef AccountView account_view
cdef TransferView transfer_view
cdef BalanceView balance_view
cdef Account account
cdef AccountDetail account_detail
cdef Transfer transfer
cdef Balance balance

ACCOUNT_COMMAND = np.asarray(<AccountCommand[:1]>&account_command).dtype
TRANSFER_COMMAND = np.asarray(<TransferCommand[:1]>&transfer_command).dtype
UPDATE_COMMAND = np.asarray(<UpdateCommand[:1]>&update_command).dtype
SCOPE_RANGE = np.asarray(<ScopeRange[:1]>&scope_range).dtype
FILTER = np.asarray(<Filter[:1]>&filter_record).dtype
RESULT = np.asarray(<Result[:1]>&result).dtype
ACCOUNT_VIEW = np.asarray(<AccountView[:1]>&account_view).dtype
TRANSFER_VIEW = np.asarray(<TransferView[:1]>&transfer_view).dtype
BALANCE_VIEW = np.asarray(<BalanceView[:1]>&balance_view).dtype
ACCOUNT = np.asarray(<Account[:1]>&account).dtype
ACCOUNT_DETAIL = np.asarray(<AccountDetail[:1]>&account_detail).dtype
TRANSFER = np.asarray(<Transfer[:1]>&transfer).dtype
BALANCE = np.asarray(<Balance[:1]>&balance).dtype

SIZES = {
    "AccountCommand": (ACCOUNT_COMMAND, 64),
    "TransferCommand": (TRANSFER_COMMAND, 104),
    "UpdateCommand": (UPDATE_COMMAND, 24),
    "ScopeRange": (SCOPE_RANGE, 16),
    "Filter": (FILTER, 72),
    "Result": (RESULT, 16),
    "AccountView": (ACCOUNT_VIEW, 96),
    "TransferView": (TRANSFER_VIEW, 112),
    "BalanceView": (BALANCE_VIEW, 40),
    "Account": (ACCOUNT, 64),
    "AccountDetail": (ACCOUNT_DETAIL, 56),
    "Transfer": (TRANSFER, 96),
    "Balance": (BALANCE, 48),
}
for _name, (_dtype, _size) in SIZES.items():
    if _dtype.itemsize != _size:
        raise ImportError(f"engine._core.records: {_name} takes {_dtype.itemsize} bytes, not {_size}")
