"""The NumPy dtypes of the records in `records.pxd`, for snapshots and invariants; sizes are checked as in `engine._core.records`."""

import numpy as np

cdef Group group_model
cdef PositionRisk position_risk_model
cdef Pair pair_model
cdef RiskState risk_state_model

GROUP = np.asarray(<Group[:1]>&group_model).dtype
POSITION_RISK = np.asarray(<PositionRisk[:1]>&position_risk_model).dtype
PAIR = np.asarray(<Pair[:1]>&pair_model).dtype
RISK_STATE = np.asarray(<RiskState[:1]>&risk_state_model).dtype

for _name, _dtype, _size in (
        ("Group", GROUP, 384), ("PositionRisk", POSITION_RISK, 96), ("Pair", PAIR, 48), ("RiskState", RISK_STATE, 32)):
    if _dtype.itemsize != _size:
        raise ImportError(f"engine.risk.records: {_name} takes {_dtype.itemsize} bytes, not {_size}")
