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
    "branches.manage": ("Make and change branches", "管理机构"),
    "customers.read": ("See and search customers, masked", "查询客户（脱敏）"),
    "customers.write": ("Make and change customers", "维护客户"),
    "customers.unmask": ("See personal data in clear", "查看客户敏感信息"),
    "customers.freeze": ("Freeze, close and merge customers", "冻结、销户、合并客户"),
    "customers.approve": ("Decide about closing and merging customers", "复核客户销户、合并"),
    "customers.import": ("Import and export customers", "批量导入导出客户"),
    "cases.read": ("See cases", "查看案件"),
    "cases.decide": ("Work on and decide cases", "处理案件"),
    "reports.regulatory": ("Make regulatory reports", "生成监管报告"),
    "rating.manage": ("Rate customers", "客户评级"),
    "products.read": ("See and compare products", "查看产品"),
    "products.write": ("Draft products and versions", "维护产品"),
    "products.approve": ("Decide about versions of products", "复核产品"),
    "products.sell": ("Put on sale, suspend, retire", "产品上下架"),
    "sales.read": ("See orders and holdings", "查看销售与持有"),
    "sales.create": ("Sell to customers", "产品销售"),
    "accounts.read": ("See accounts, balances and statements", "查看账户"),
    "accounts.open": ("Open and close accounts", "开立、关闭账户"),
    "accounts.freeze": ("Freeze and release accounts", "冻结、解冻账户"),
    "payments.read": ("See payments", "查看支付交易"),
    "payments.create": ("Make payments", "办理支付交易"),
    "payments.approve": ("Decide about payments", "复核支付交易"),
    "payments.reverse": ("Ask for reversals and refunds", "申请冲正、退款"),
    "payments.bulk": ("Send files of payments", "批量支付"),
    "rails.manage": ("Reconcile payment rails", "支付渠道对账"),
    "endofday.read": ("Watch the end of day", "查看日终"),
    "endofday.run": ("Run the end of day", "执行日终"),
}
"""Name, and what it lets one do in English and Chinese."""

_EVERYBODY: Final = frozenset({"approvals.read", "parameters.read", "products.read"})
_SEES: Final = frozenset({"customers.read", "accounts.read", "payments.read", "sales.read"})

ROLES: Final = {
    "teller": (
        "Teller",
        "柜员",
        _EVERYBODY | _SEES | {"customers.write", "accounts.open", "payments.create", "sales.create"},
    ),
    "relationship_manager": (
        "Relationship manager",
        "客户经理",
        _EVERYBODY
        | _SEES
        | {"customers.write", "customers.unmask", "accounts.open", "sales.create", "payments.create", "rating.manage"},
    ),
    "product_manager": (
        "Product manager",
        "产品经理",
        _EVERYBODY | {"parameters.change", "products.write", "products.sell", "sales.read"},
    ),
    "operations": (
        "Operations",
        "运营",
        _EVERYBODY
        | _SEES
        | {
            "users.read",
            "parameters.change",
            "branches.manage",
            "customers.import",
            "customers.freeze",
            "accounts.freeze",
            "payments.approve",
            "payments.reverse",
            "payments.bulk",
            "rails.manage",
            "endofday.read",
            "endofday.run",
            "cases.read",
        },
    ),
    "risk_officer": (
        "Risk officer",
        "风险管理",
        _EVERYBODY
        | _SEES
        | {
            "parameters.change",
            "parameters.approve",
            "products.approve",
            "accounts.freeze",
            "payments.approve",
            "rating.manage",
            "cases.read",
            "endofday.read",
        },
    ),
    "compliance": (
        "Compliance",
        "合规",
        _EVERYBODY
        | _SEES
        | {
            "parameters.change",
            "parameters.approve",
            "audit.read",
            "users.read",
            "customers.unmask",
            "customers.freeze",
            "customers.approve",
            "cases.read",
            "cases.decide",
            "reports.regulatory",
        },
    ),
    "auditor": (
        "Auditor",
        "审计",
        _EVERYBODY | _SEES | {"audit.read", "users.read", "cases.read", "endofday.read"},
    ),
    "administrator": ("Administrator", "系统管理员", frozenset({"users.read", "users.manage"})),
    "channel": (
        "Channel (a machine)",
        "渠道（系统）",
        frozenset({"accounts.read", "payments.read", "payments.create"}),
    ),
}
"""Name, titles in English and Chinese, permissions. An administrator of users moves neither money nor rules."""


def permissions_of(roles: list[str]) -> frozenset[str]:
    """All permissions of some roles; roles that are not known have none."""
    return frozenset().union(*(ROLES[role][2] for role in roles if role in ROLES))
