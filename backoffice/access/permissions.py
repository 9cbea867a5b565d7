"""Every permission and every role. A permission is AREA.VERB; a role is a name for some of them.

Roles are the house's; what a route needs stands at the route, and a test compares every role with every route.
"""

from typing import Final

PERMISSIONS: Final = {
    "users.read": ("See users", "查看用户"),
    "users.manage": ("Make and change users", "管理用户"),
    "parameters.read": ("See rules and their days", "查看参数"),
    "parameters.change": ("Propose another value of a rule", "申请修改参数"),
    "parameters.approve": ("Decide about values of rules", "复核参数修改"),
    "approvals.read": ("See what waits for a second person", "查看待复核事项"),
    "audit.read": ("Search the audit log", "查询审计日志"),
}
"""Name, and what it lets one do in English and Chinese."""

_EVERYBODY: Final = frozenset({"approvals.read", "parameters.read"})

ROLES: Final = {
    "teller": ("Teller", "柜员", _EVERYBODY),
    "relationship_manager": ("Relationship manager", "客户经理", _EVERYBODY),
    "product_manager": ("Product manager", "产品经理", _EVERYBODY | {"parameters.change"}),
    "operations": ("Operations", "运营", _EVERYBODY | {"users.read", "parameters.change"}),
    "risk_officer": ("Risk officer", "风险管理", _EVERYBODY | {"parameters.change", "parameters.approve"}),
    "compliance": (
        "Compliance",
        "合规",
        _EVERYBODY | {"parameters.change", "parameters.approve", "audit.read", "users.read"},
    ),
    "auditor": ("Auditor", "审计", _EVERYBODY | {"audit.read", "users.read"}),
    "administrator": ("Administrator", "系统管理员", frozenset({"users.read", "users.manage"})),
    "channel": ("Channel (a machine)", "渠道（系统）", frozenset()),
}
"""Name, titles in English and Chinese, permissions. An administrator of users moves neither money nor rules."""


def permissions_of(roles: list[str]) -> frozenset[str]:
    """All permissions of some roles; roles that are not known have none."""
    return frozenset().union(*(ROLES[role][2] for role in roles if role in ROLES))
