"""Chart of accounts, as banks use it; four digits fit the engine's `code`.

Codes: Ministry of Finance, Accounting Standards for Business Enterprises, application guidance, appendix.

Own accounts of the institution have fixed numbers: ledger * 1,000,000 + code * 100 + part. Customers' accounts are
numbered by a sequence from 10^12, so the two never meet.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from server.client import AccountFlag


class Side(Enum):
    """On which side a balance normally stands."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the chart."""

    code: int
    name_zh: str
    name_en: str
    side: Side


CHART: Final = {
    line.code: line
    for line in (
        Line(1001, "库存现金", "Cash on hand", Side.DEBIT),
        Line(1003, "存放中央银行款项", "Balances with the central bank", Side.DEBIT),
        Line(1011, "存放同业", "Due from banks", Side.DEBIT),
        Line(1101, "交易性金融资产", "Trading financial assets", Side.DEBIT),
        Line(1132, "应收利息", "Interest receivable", Side.DEBIT),
        Line(1221, "其他应收款", "Other receivables", Side.DEBIT),
        Line(1303, "贷款", "Loans", Side.DEBIT),
        Line(1304, "贷款损失准备", "Loan loss provisions", Side.CREDIT),
        Line(1901, "待处理财产损溢", "Suspense", Side.DEBIT),
        Line(2011, "吸收存款", "Customer deposits", Side.CREDIT),
        Line(2012, "同业存放", "Due to banks", Side.CREDIT),
        Line(2221, "应交税费", "Taxes payable", Side.CREDIT),
        Line(2231, "应付利息", "Interest payable", Side.CREDIT),
        Line(2241, "其他应付款", "Other payables", Side.CREDIT),
        Line(2311, "代理买卖证券款", "Clients' money for securities", Side.CREDIT),
        Line(2314, "代理业务负债", "Liabilities of agency business (wealth products)", Side.CREDIT),
        Line(3001, "清算资金往来", "Clearing", Side.CREDIT),
        Line(4001, "实收资本", "Paid-in capital", Side.CREDIT),
        Line(6011, "利息收入", "Interest income", Side.CREDIT),
        Line(6021, "手续费及佣金收入", "Fee and commission income", Side.CREDIT),
        Line(6411, "利息支出", "Interest expense", Side.DEBIT),
        Line(6421, "手续费及佣金支出", "Fee and commission expense", Side.DEBIT),
        Line(6701, "资产减值损失", "Impairment losses", Side.DEBIT),
    )
}

CUSTOMER_DEPOSIT: Final = AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlag.HISTORY
"""Flags of a customer's deposit account: never below zero (unless an overdraft limit is set), with history."""
CUSTOMER_LOAN: Final = AccountFlag.CREDITS_MUST_NOT_EXCEED_DEBITS | AccountFlag.HISTORY
"""Flags of a customer's loan account: never repaid beyond what is owed."""


def own_account(code: int, ledger: int = 156, part: int = 0) -> int:
    """Give the engine's number of the institution's own account. KeyError for a code that the chart does not have."""
    if not 0 <= part < 100:
        raise ValueError(f"part: {part} is not from 0 to 99")
    return ledger * 1_000_000 + CHART[code].code * 100 + part


def own_account_of(number: int) -> tuple[int, int] | None:
    """Give (ledger, code) of one of the institution's own accounts, None for any other number."""
    ledger, rest = divmod(number, 1_000_000)
    code = rest // 100
    return (ledger, code) if 0 < ledger < 1000 and code in CHART else None
