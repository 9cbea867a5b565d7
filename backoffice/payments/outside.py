"""The party at another bank: kept with the payment, and shown with a masked account number in lists."""

from collections.abc import Mapping
from typing import Any

from backoffice.payments.iso20022.values import Bank, Party


def document_of(party: Party | None) -> dict[str, Any] | None:
    """Write a party for the table."""
    if party is None:
        return None
    bank = {"bic": party.bank.bic, "member": party.bank.member, "name": party.bank.name}
    return {"name": party.name, "account": party.account, "iban": party.iban, "bank": bank}


def party_of(payment: Mapping[str, Any]) -> Party | None:
    """Read the party outside of a payment, in clear; None when it has none."""
    found = payment["outside"]
    if found is None:
        return None
    return Party(found["name"], found["account"], found["iban"], Bank(**found["bank"]))


def masked_account(number: str) -> str:
    """First six and last four characters, as JR/T 0171 has it for cards (m); short ones keep the last two."""
    if len(number) > 12:
        return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    return "*" * max(len(number) - 2, 0) + number[-2:]


def masked_name(name: str) -> str:
    """The first sign, and a star for each other one, eight at most."""
    return name[:1] + "*" * min(len(name) - 1, 8) if name else ""
