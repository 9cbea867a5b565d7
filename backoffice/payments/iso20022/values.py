"""What the messages have in common: amounts, days, parties with their accounts and banks."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from backoffice.money import DECIMALS, LEDGERS, Money
from backoffice.payments.iso20022.guard import Node

NOT_PROVIDED = "NOTPROVIDED"
"""What stands for an identification that nobody gave."""


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank: BIC, or member number of a clearing system (in China 联行号, 12 digits, code CNAPS), and name."""

    bic: str = ""
    member: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """Who pays or is paid: name, account (IBAN or any other number), bank."""

    name: str = ""
    account: str = ""
    iban: bool = False
    bank: Bank = Bank()


def minor_of(text: str, currency: str) -> int:
    """Read an amount as XML has it. Raises ValueError for another currency or for parts of a minor unit."""
    if currency not in LEDGERS:
        raise ValueError(f"{currency} is none of {', '.join(LEDGERS)}")
    scaled = Decimal(text) * 10 ** DECIMALS.get(currency, 2)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{text} has more decimals than {currency}")
    return Money(int(scaled), currency).minor


def amount(minor: int, currency: str) -> dict[str, Any]:
    """Write an amount."""
    return {"": Decimal(str(Money(minor, currency))), "@Ccy": currency}


def day_at(node: Node, path: str) -> date | None:
    """Read a date, or the date of a time, of a choice or plain; None when there is none."""
    text = node.value(f"{path}/Dt", f"{path}/DtTm", path)
    return date.fromisoformat(text[:10]) if text else None


def moment(at: datetime) -> str:
    """Write a time as UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bank_of(node: Node | None) -> Bank:
    """Read an agent."""
    if node is None:
        return Bank()
    return Bank(
        node.value("FinInstnId/BICFI", "FinInstnId/BIC"),
        node.value("FinInstnId/ClrSysMmbId/MmbId"),
        node.value("FinInstnId/Nm", "FinInstnId/NmAndAdr/Nm"),
    )


def party_of(party: Node | None, account: Node | None, agent: Node | None) -> Party:
    """Read a party out of its three elements."""
    name = party.value("Nm", "Pty/Nm") if party is not None else ""
    iban = account.value("Id/IBAN") if account is not None else ""
    number = iban or (account.value("Id/Othr/Id", "Id/PrtryAcct/Id", "Id/BBAN") if account is not None else "")
    return Party(name, number, bool(iban), bank_of(agent))


def agent(bank: Bank) -> dict[str, Any]:
    """Write an agent. Raises ValueError for a bank that nothing identifies."""
    if not (bank.bic or bank.member or bank.name):
        raise ValueError("bank: neither BIC nor member number nor name is known")
    member = {"ClrSysId": {"Cd": "CNAPS"}, "MmbId": bank.member} if bank.member else None
    return {"FinInstnId": {"BICFI": bank.bic or None, "ClrSysMmbId": member, "Nm": bank.name or None}}


def account(party: Party) -> dict[str, Any] | None:
    """Write an account; None when the party has none."""
    if not party.account:
        return None
    return {"Id": {"IBAN": party.account} if party.iban else {"Othr": {"Id": party.account}}}
