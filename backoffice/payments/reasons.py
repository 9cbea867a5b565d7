"""Why a payment was declined, given up or undone, in words for people. The code is for programs and never changes."""

from typing import Final

TEXTS: Final = {
    "exceeds_credits": ("Not enough money on the account", "账户余额不足"),
    "exceeds_debits": ("More than is owed", "超过应还金额"),
    "debit_account_already_closed": ("The payer's account is closed in the ledger", "付款账户已在账务引擎关闭"),
    "credit_account_already_closed": ("The receiver's account is closed in the ledger", "收款账户已在账务引擎关闭"),
    "debit_account_frozen": ("The payer's account is frozen in the ledger", "付款账户已在账务引擎冻结"),
    "credit_account_frozen": ("The receiver's account is frozen in the ledger", "收款账户已在账务引擎冻结"),
    "id_already_failed": ("Refused by the ledger", "账务引擎已拒绝"),
    "limit_each": ("Above the limit of one payment", "超过单笔限额"),
    "limit_day": ("Above the limit of the day", "超过当日累计限额"),
    "limit_count": ("More payments than the day allows", "超过当日笔数限制"),
    "payer_account_stopped": ("The payer's account is stopped", "付款账户已止付"),
    "payer_account_frozen": ("The payer's account is frozen", "付款账户已冻结"),
    "payer_account_closed": ("The payer's account is closed", "付款账户已销户"),
    "payee_account_frozen": ("The receiver's account is frozen", "收款账户已冻结"),
    "payee_account_closed": ("The receiver's account is closed", "收款账户已销户"),
    "not_approved": ("The second person did not agree", "复核未通过"),
    "second_person_needed": ("The amount needs a second person, and nobody asked for it", "金额须经复核，无经办人"),
    "not_linked": ("Another payment of the same file failed", "同批次其他付款失败"),
    "no_answer": ("The other side has not answered", "对方未应答"),
    "expired": ("The hold has run out", "预授权已过期"),
    "rail_not_active": ("The way is not in use", "支付渠道未启用"),
    "rail_limit": ("Above the limit of the way", "超过支付渠道限额"),
    # What a rail answers: response codes of ISO 8583-1:1987, field 39.
    "rail_05": ("The other side does not honour it", "对方拒绝承兑"),
    "rail_12": ("The other side does not allow it now", "对方不允许此操作"),
    "rail_13": ("The other side does not take this amount", "对方不接受该金额"),
    "rail_14": ("There is no such account on the other side", "对方账户不存在"),
    "rail_25": ("The other side does not know the payment", "对方无此交易"),
    "rail_51": ("Not sufficient funds on the other side", "对方账户余额不足"),
    "rail_54": ("The instrument has expired", "支付工具已过期"),
    "rail_57": ("Not permitted to the holder", "持有人不得进行此交易"),
    "rail_61": ("Above the other side's limit", "超过对方限额"),
    "rail_62": ("Restricted on the other side", "对方账户受限制"),
    "rail_94": ("The other side knows the payment already", "对方提示交易重复"),
}
"""Code: English, Chinese. Others (a rail's own code, a person's words) are told as they are."""


def text_of(reason: str, language: str) -> str:
    """Give the words of a reason in zh, else in English; what has none is told as it is."""
    found = TEXTS.get(reason)
    return reason if found is None else found[1 if language == "zh" else 0]
