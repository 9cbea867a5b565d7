"""The NumPy dtypes of the records in `risk_records.pxd`, derived from the structs themselves; sizes are checked as in `records.pyx`."""

import numpy as np


cdef Limits limits_model
cdef Exposure exposure_model
cdef RiskOrder risk_order_model
cdef Finding finding_model
cdef Verdict verdict_model
cdef LimitsCommand limits_command_model
cdef LimitValue limit_value_model
cdef KillCommand kill_command_model
cdef ApprovalCommand approval_command_model
cdef LimitsFilter limits_filter_model
cdef LimitsView limits_view_model
cdef Proposal proposal_model

LIMITS = np.asarray(<Limits[:1]>&limits_model).dtype
EXPOSURE = np.asarray(<Exposure[:1]>&exposure_model).dtype
RISK_ORDER = np.asarray(<RiskOrder[:1]>&risk_order_model).dtype
FINDING = np.asarray(<Finding[:1]>&finding_model).dtype
VERDICT = np.asarray(<Verdict[:1]>&verdict_model).dtype
LIMITS_COMMAND = np.asarray(<LimitsCommand[:1]>&limits_command_model).dtype
LIMIT_VALUE = np.asarray(<LimitValue[:1]>&limit_value_model).dtype
KILL_COMMAND = np.asarray(<KillCommand[:1]>&kill_command_model).dtype
APPROVAL_COMMAND = np.asarray(<ApprovalCommand[:1]>&approval_command_model).dtype
LIMITS_FILTER = np.asarray(<LimitsFilter[:1]>&limits_filter_model).dtype
LIMITS_VIEW = np.asarray(<LimitsView[:1]>&limits_view_model).dtype
PROPOSAL = np.asarray(<Proposal[:1]>&proposal_model).dtype

SIZES = {
    "Limits": (LIMITS, 192),
    "Exposure": (EXPOSURE, 128),
    "RiskOrder": (RISK_ORDER, 256),
    "Finding": (FINDING, 40),
    "Verdict": (VERDICT, 48),
    "LimitsCommand": (LIMITS_COMMAND, 88),
    "LimitValue": (LIMIT_VALUE, 16),
    "KillCommand": (KILL_COMMAND, 56),
    "ApprovalCommand": (APPROVAL_COMMAND, 40),
    "LimitsFilter": (LIMITS_FILTER, 40),
    "LimitsView": (LIMITS_VIEW, 416),
    "Proposal": (PROPOSAL, 336),
}
for _name, (_dtype, _size) in SIZES.items():
    if _dtype.itemsize != _size:
        raise ImportError(f"engine._core.risk_records: {_name} takes {_dtype.itemsize} bytes, not {_size}")
