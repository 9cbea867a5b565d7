"""`tongbao channel`: make a channel's key and its entry for the channels file."""

import json as jsonlib
import re
from typing import Annotated

from cyclopts import Parameter

from server.channels import PERMISSIONS, generate_key
from server.cli.common import CommandError, Exit, Json, err, print_json


def channel(
    name: str,
    /,
    *,
    permission: Annotated[list[str], Parameter(negative="")] = ["read"],  # noqa: B006 - cyclopts copies it
    accounts: Annotated[list[str] | None, Parameter(negative="")] = None,
    scope: int = 0,
    json: Json = False,
) -> int:
    """Make a new key for a channel, and print its entry for the channels file.

    The key is shown once, on standard error, and kept nowhere: give it to the channel over a safe way. The entry,
    on standard output, holds only a salted hash: `tongbao channel mobile >> channels.toml`.

    Exit codes: 0 done, 2 wrong usage.

    Parameters
    ----------
    name
        Name of the channel: letters, digits, dot, hyphen, underscore.
    permission
        What it may do: read, accounts, transfers, admin. May be given several times.
    accounts
        Accounts it may touch, as 1000-1999 or 5001; all when left out. Needs --scope. May be given several times.
    scope
        Number of the scope in the log, from 1; the same number for the same accounts only.
    json
        Print one JSON document with key and entry.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise CommandError(f"{name!r} is not a channel's name (letters, digits, dot, hyphen, underscore)")
    for item in permission:
        if item not in PERMISSIONS:
            raise CommandError(f"--permission: {item!r} is not one of {', '.join(PERMISSIONS)}")
    if bool(accounts) != bool(scope) or scope < 0:
        raise CommandError("--accounts and --scope (from 1) go together")
    for item in accounts or ():
        if not re.fullmatch(r"[0-9]{1,19}(-[0-9]{1,19})?", item):
            raise CommandError(f"--accounts: {item!r} is neither an account id nor FIRST-LAST")
    key, digest = generate_key()
    quoted = f'"{name}"' if "." in name else name
    lines = [f"[channels.{quoted}]", f"permissions = {jsonlib.dumps(permission)}", f'key = "{digest}"']
    if accounts:
        ids = ", ".join(item if item.isdigit() else f'"{item}"' for item in accounts)
        lines += [f"scope = {scope}", f"accounts = [{ids}]"]
    entry = "\n".join(lines) + "\n"
    if json:
        print_json({"channel": name, "key": key, "entry": entry})
        return Exit.OK
    err().print(f"key of {name}, shown once: {key}", highlight=False, soft_wrap=True)
    print(entry)
    return Exit.OK
