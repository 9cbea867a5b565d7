"""The party at another bank: sealed with the row that it belongs to, and beside it what anybody may see.

The name and the account number of somebody else's customer are personal (JR/T 0171-2020, C2). Lists show the masked
ones and open nothing; the clear ones are opened for messages to rails, for statements of the payer, and for who has
the permission. A party that moves to another row is sealed anew for it.
"""

import base64
from collections.abc import Mapping
from typing import Any

from backoffice.context import Context
from backoffice.payments.iso20022.values import Bank, Party
from backoffice.privacy.keyring import Sealed


def document_of(context: Context, place: str, party: Party | None) -> dict[str, Any] | None:
    """Write a party for a row. `place`: table:row, as `_place` finds it again."""
    if party is None:
        return None
    sealed = context.keyring.seal(place, {"name": party.name, "account": party.account})
    return {
        "name": masked_name(party.name),
        "account": masked_account(party.account),
        "iban": party.iban,
        "bank": {"bic": party.bank.bic, "member": party.bank.member, "name": party.bank.name},
        "key_id": sealed.key_id,
        "sealed": base64.b64encode(sealed.data).decode(),
    }


async def party_of(context: Context, row: Mapping[str, Any]) -> Party | None:
    """Open the party of a row; None when it has none. Raises KeyFaultError for one that was changed or moved."""
    found = row["outside"]
    if found is None:
        return None
    sealed = Sealed(found["key_id"], base64.b64decode(found["sealed"]))
    clear = await context.keyring.open(context.connection, _place(row), sealed)
    return Party(clear["name"], clear["account"], found["iban"], Bank(**found["bank"]))


def masked_party(row: Mapping[str, Any]) -> Party | None:
    """Give what anybody may see of the party of a row; None when it has none."""
    found = row["outside"]
    return None if found is None else Party(found["name"], found["account"], found["iban"], Bank(**found["bank"]))


def _place(row: Mapping[str, Any]) -> str:
    """The row that a party is read from must be the one it was sealed for; rows of payments come first."""
    if "payment_id" in row and "number" in row:
        return f"payments:{row['payment_id']}"
    if "standing_id" in row:
        return f"standing_orders:{row['standing_id']}"
    return f"bulk_items:{row['batch_id']}/{row['place']}"


def masked_account(number: str) -> str:
    """First six and last four characters, as JR/T 0171 has it for cards (m); short ones keep the last two."""
    if len(number) > 12:
        return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    return "*" * max(len(number) - 2, 0) + number[-2:]


def masked_name(name: str) -> str:
    """The first sign, and a star for each other one, eight at most."""
    return name[:1] + "*" * min(len(name) - 1, 8) if name else ""
