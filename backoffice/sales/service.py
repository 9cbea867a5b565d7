"""Online sale: a purchase, what brings it back, and what the ledger says to both.

A purchase takes quota, opens the account that will hold what is bought, and plans its postings, all in one transaction;
whether the money was there the engine says afterwards. Refused, the quota goes back and the account is closed: nothing
is oversold, and nothing is lost, wherever a process is killed. The order of locks is: customer, paying account, version
of the product, audit log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import and_, insert, select, update
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError

from backoffice import audit, businessday
from backoffice.accounts import service as accounts
from backoffice.accounts.tables import accounts as account_rows
from backoffice.context import Context
from backoffice.customers import service as customers
from backoffice.database import rows_of
from backoffice.ledger import Outcome, Posting, own, plan, settled_by
from backoffice.money import LEDGERS
from backoffice.problems import Code, Problem, invalid
from backoffice.products import catalogue
from backoffice.products.daycount import add_months
from backoffice.products.deposits import TermDeposit
from backoffice.products.rates import Rate, Rounding, divide
from backoffice.products.terms import NoticeTerms, Terms, TermTerms, WealthTerms, read
from backoffice.rating import assessments
from backoffice.rating.suitability import Finding
from backoffice.sales.tables import sales_orders

KIND: Final = "sales"
SOLD: Final = ("term", "notice", "wealth")
"""Kinds that are bought here. Demand and card accounts are opened; funds and loans have ways of their own."""
PURCHASE, FEE, REDEMPTION, INTEREST, WITHDRAWAL = 131, 139, 132, 133, 134
"""`code` of the engine's transfers."""
FEE_INCOME, INTEREST_EXPENSE = 6021, 6411
WHOLE: Final = Rate.from_percent(100).parts


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the customer has confirmed, and who else has looked."""

    risk_warning: bool = False
    second_look: bool = False


async def buy(
    context: Context, customer_id: int, product_id: str, *, paying: str, amount_minor: int, confirmed: Confirmed
) -> dict[str, Any]:
    """Order a purchase; gives the order, planned. Problem for what may not be sold to this customer now."""
    customer = await customers.require_active(context, customer_id)
    payer = await _own_account(context, customer_id, paying)
    accounts.can_pay(payer)
    version = await catalogue.on_sale(context, product_id)
    if version["kind"] not in SOLD:
        raise invalid("product_id", f"a {version['kind']} product is not bought here")
    if payer["currency"] != version["currency"]:
        raise invalid("paying_account", f"is in {payer['currency']}, the product in {version['currency']}")
    _check_amount(version, amount_minor)
    terms = read(version["kind"], version["terms"])
    loses = isinstance(terms, WealthTerms) and terms.loses
    checked = await _suits(context, customer_id, version, confirmed, loses=loses)
    await catalogue.take(context, version, amount_minor)
    today = await businessday.today(context)
    agreed, matures_on = _agreed(terms, amount_minor, today)
    holding = await accounts.open_(
        context, customer_id=customer_id, kind=version["kind"], product_id=product_id,
        product_version=version["version"], currency=version["currency"], branch=customer["branch"], terms=agreed,
        matures_on=matures_on,
    )  # fmt: skip
    fee = _fee(terms.subscription_fee, amount_minor) if isinstance(terms, WealthTerms) else 0
    ledger = LEDGERS[version["currency"]]
    items = [Posting(payer["account_id"], holding["account_id"], amount_minor, ledger, PURCHASE)]
    if fee:
        items.append(Posting(payer["account_id"], await own(context, FEE_INCOME, ledger), fee, ledger, FEE))
    await accounts.used_by_customer(context, payer)
    values = {
        "kind": "purchase", "customer_id": customer_id, "product_id": product_id,
        "product_version": version["version"], "paying": payer["account_id"], "holding": holding["account_id"],
        "amount_minor": amount_minor, "fee_minor": fee, "currency": version["currency"], "suitability": checked,
    }  # fmt: skip
    return await _order(context, values, items)


async def redeem(context: Context, holding: str, paying: str | None = None) -> dict[str, Any]:
    """Give a deposit back with its interest, at the early rate before its end.

    A wealth product is closed until its end, and is then paid out by the result that its issuer publishes.
    """
    row = await accounts.get(context, holding, lock=True)
    bought = await _purchase_of(context, row)
    terms = await _terms_of(context, row)
    if isinstance(terms, WealthTerms):
        raise Problem(Code.STATE, f"it is closed until {row['matures_on']}", more={"until": str(row["matures_on"])})
    payee = await _payee(context, row, bought, paying)
    amount = bought["amount_minor"]
    interest = interest_of(terms, amount, row["opened_on"], await businessday.today(context))
    return await _give_back(context, "redemption", bought, row, payee=payee, amounts=(amount, interest, 0))


async def withdraw(context: Context, number: str) -> dict[str, Any]:
    """Undo a purchase within its cooling-off days, as a whole and with its fee."""
    bought = await get(context, number)
    if bought["kind"] != "purchase" or bought["state"] != "confirmed":
        raise Problem(Code.STATE, f"order {number} is {bought['state']}", more={"state": bought["state"]})
    row = await accounts.by_id(context, bought["holding"], lock=True)
    terms = await _terms_of(context, row)
    days = terms.cooling_off_days if isinstance(terms, WealthTerms) else 0
    today = await businessday.today(context)
    last = bought["on_day"] + timedelta(days=days)
    if not days or today > last:
        raise Problem(Code.STATE, "the cooling-off days are over" if days else "it has no cooling-off days")
    payee = await accounts.by_id(context, bought["paying"], lock=True)
    accounts.can_receive(payee)
    return await _give_back(
        context, "withdrawal", bought, row, payee=payee, amounts=(bought["amount_minor"], 0, -bought["fee_minor"])
    )


def interest_of(terms: Terms, amount_minor: int, opened: date, today: date) -> int:
    """Interest of a deposit that is paid back today."""
    match terms:
        case TermTerms():
            deposit = TermDeposit(amount_minor, opened, terms.months, Rate.from_percent(terms.rate), terms.day_count)
            return deposit.interest_minor(today, Rate.from_percent(terms.early_rate))
        case NoticeTerms():
            # Without notice the demand rate; announced withdrawals belong to the branch that takes the notice.
            exact = amount_minor * Rate.from_percent(terms.early_rate).parts * (today - opened).days
            return divide(exact, WHOLE * 360)
        case _:
            raise AssertionError(type(terms).__name__)


# --- the ledger's answer --------------------------------------------------------------------------


@settled_by(KIND)
async def _settled(context: Context, outcome: Outcome) -> None:
    row = rows_of(
        await context.connection.execute(select(sales_orders).where(sales_orders.c.group_id == outcome.group))
    )[0]
    # First the account, as whoever orders does: an order being changed makes the next one for the account wait.
    holding = await accounts.by_id(context, row["holding"], lock=True)
    state = "confirmed" if outcome.posted else "failed"
    values = {"state": state, "reason": outcome.reason, "settled_at": context.clock()}
    await context.connection.execute(
        update(sales_orders).where(sales_orders.c.order_id == row["order_id"]).values(**values)
    )
    if (row["kind"], outcome.posted) in {("purchase", False), ("withdrawal", True)}:
        await catalogue.give_back(context, row["product_id"], row["product_version"], row["amount_minor"])
    ended = outcome.posted != (row["kind"] == "purchase")  # a purchase that failed, or a holding that went back
    if ended and holding["status"] in {"open", "dormant"}:  # one that was frozen meanwhile is a person's to close
        await accounts.close(context, holding["number"])
    await audit.record(context, f"sales.{state}", f"order:{row['number']}", {"reason": outcome.reason})


# --- reading --------------------------------------------------------------------------------------


async def get(context: Context, number: str) -> dict[str, Any]:
    """One order by its number; Problem when there is none."""
    found = rows_of(await context.connection.execute(select(sales_orders).where(sales_orders.c.number == number)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no order {number}")
    return found[0]


async def listed(
    context: Context, *, customer_id: int | None, state: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Orders, newest first."""
    query = select(sales_orders).order_by(sales_orders.c.order_id.desc()).limit(limit)
    if customer_id is not None:
        query = query.where(sales_orders.c.customer_id == customer_id)
    if state:
        query = query.where(sales_orders.c.state == state)
    if before is not None:
        query = query.where(sales_orders.c.order_id < before)
    return rows_of(await context.connection.execute(query))


async def numbers_of(context: Context, ids: set[int]) -> dict[int, str]:
    """Give the numbers that people see of accounts."""
    query = select(account_rows.c.account_id, account_rows.c.number).where(account_rows.c.account_id.in_(ids))
    return {row.account_id: row.number for row in await context.connection.execute(query)}


# --- parts ----------------------------------------------------------------------------------------


async def _own_account(context: Context, customer_id: int, number: str) -> dict[str, Any]:
    try:
        row = await accounts.get(context, number, lock=True)
    except Problem:
        raise invalid("paying_account", "there is no such account") from None
    if row["customer_id"] != customer_id:
        raise invalid("paying_account", "is another customer's")
    if row["kind"] not in {"demand", "card"}:
        raise invalid("paying_account", f"is a {row['kind']} account")
    return row


def _check_amount(version: Mapping[str, Any], amount_minor: int) -> None:
    if amount_minor <= 0 or amount_minor < version["minimum_minor"]:
        raise invalid("amount", f"is below the minimum, {version['minimum_minor']} minor units")
    if (amount_minor - version["minimum_minor"]) % version["step_minor"]:
        raise invalid("amount", f"is not the minimum and steps of {version['step_minor']} minor units")


async def _suits(
    context: Context, customer_id: int, version: Mapping[str, Any], confirmed: Confirmed, *, loses: bool
) -> dict[str, Any]:
    """Check suitability and give what is recorded. Problem naming every finding that stands against the sale."""
    verdict = await assessments.verdict(context, customer_id, version["risk_level"], loses=loses)
    given = {Finding.RISK_WARNING: confirmed.risk_warning, Finding.ELDERLY_CONFIRMATION: confirmed.second_look}
    against = [each for each in verdict.findings if not given.get(each, False)]
    if against:
        raise Problem(
            Code.NOT_SUITABLE, ", ".join(against), more={"findings": list(against), "allowed": verdict.allowed}
        )
    row = await customers.row_of(context, customer_id)
    return {
        "product_level": version["risk_level"], "customer_level": row["risk_level"],
        "until": row["risk_until"].isoformat() if row["risk_until"] else None, "findings": list(verdict.findings),
        "confirmed": [each for each, yes in given.items() if yes],
    }  # fmt: skip


def _agreed(terms: Terms, amount_minor: int, today: date) -> tuple[dict[str, Any], date | None]:
    """Give what the contract itself fixes, and its last day."""
    match terms:
        case TermTerms():
            fixed = {"principal_minor": amount_minor, "rate": terms.rate, "months": terms.months}
            return fixed, add_months(today, terms.months)
        case NoticeTerms():
            return {"principal_minor": amount_minor, "rate": terms.rate, "notice_days": terms.notice_days}, None
        case WealthTerms():
            fixed = {"principal_minor": amount_minor, "benchmark": terms.benchmark, "days": terms.days}
            return fixed, today + timedelta(days=terms.days)
        case _:
            raise AssertionError(type(terms).__name__)


def _fee(share: str, amount_minor: int) -> int:
    """Give a fee as a share of an amount, rounded up."""
    return divide(amount_minor * Rate.from_percent(share).parts, WHOLE, Rounding.UP)


async def _purchase_of(context: Context, holding: Mapping[str, Any]) -> dict[str, Any]:
    query = select(sales_orders).where(
        and_(sales_orders.c.holding == holding["account_id"], sales_orders.c.kind == "purchase")
    )
    found = rows_of(await context.connection.execute(query))
    if not found:
        raise Problem(Code.STATE, f"account {holding['number']} was not bought")
    if found[0]["state"] != "confirmed":
        raise Problem(Code.STATE, f"the purchase is {found[0]['state']}", more={"state": found[0]["state"]})
    return found[0]


async def _terms_of(context: Context, account: Mapping[str, Any]) -> Terms:
    version = await catalogue.get(context, account["product_id"], account["product_version"])
    return read(version["kind"], version["terms"])


async def _payee(
    context: Context, holding: Mapping[str, Any], bought: Mapping[str, Any], paying: str | None
) -> dict[str, Any]:
    if paying is None:
        payee = await accounts.by_id(context, bought["paying"], lock=True)
    else:
        payee = await _own_account(context, holding["customer_id"], paying)
    if payee["currency"] != holding["currency"]:
        raise invalid("paying_account", f"is in {payee['currency']}")
    accounts.can_receive(payee)
    return payee


async def _give_back(
    context: Context,
    kind: str,
    bought: Mapping[str, Any],
    holding: Mapping[str, Any],
    *,
    payee: Mapping[str, Any],
    amounts: tuple[int, int, int],
) -> dict[str, Any]:
    """Plan what goes back: amount, interest, and a fee (below zero: one that is returned)."""
    accounts.can_pay(holding)
    amount, interest, fee = amounts
    ledger = LEDGERS[holding["currency"]]
    code = REDEMPTION if kind == "redemption" else WITHDRAWAL
    items = [Posting(holding["account_id"], payee["account_id"], amount, ledger, code)]
    if interest:
        expense = await own(context, INTEREST_EXPENSE, ledger)
        items.append(Posting(expense, payee["account_id"], interest, ledger, INTEREST))
    if fee:
        income = await own(context, FEE_INCOME, ledger)
        debit, credit = (payee["account_id"], income) if fee > 0 else (income, payee["account_id"])
        items.append(Posting(debit, credit, abs(fee), ledger, FEE))
    values = {
        "kind": kind, "customer_id": holding["customer_id"], "product_id": bought["product_id"],
        "product_version": bought["product_version"], "paying": payee["account_id"],
        "holding": holding["account_id"], "amount_minor": amount, "fee_minor": max(fee, 0),
        "interest_minor": interest, "currency": holding["currency"],
    }  # fmt: skip
    try:
        async with context.connection.begin_nested():
            return await _order(context, values, items)
    except IntegrityError:
        raise Problem(Code.STATE, f"account {holding['number']} is being given back already") from None


async def _order(context: Context, values: dict[str, Any], items: list[Posting]) -> dict[str, Any]:
    number = int((await context.connection.execute(sql("SELECT nextval('office.sales_numbers')"))).scalar_one())
    today = await businessday.today(context)
    name = f"S{today:%Y%m%d}{number:010d}"
    group = await plan(context, KIND, f"order:{name}", items)
    values |= {
        "order_id": number, "number": name, "group_id": group, "on_day": today, "user_id": context.actor.user_id,
        "made_at": context.clock(),
    }  # fmt: skip
    row = rows_of(await context.connection.execute(insert(sales_orders).values(**values).returning(sales_orders)))[0]
    detail = {"kind": row["kind"], "customer": row["customer_id"], "product": f"{row['product_id']}"}
    await audit.record(context, f"sales.{row['kind']}", f"order:{name}", detail | {"suitability": row["suitability"]})
    return row
