"""Logging on, and who may do what: every role at every route."""

from typing import Any

import pyotp
import pytest

from backoffice.access.permissions import PERMISSIONS, ROLES
from backoffice.api.app import PREFIX
from backoffice.api.working import PUBLIC, SESSION
from tests.backoffice.api.examples import requests_of
from tests.backoffice.conftest import PASSWORD, Office


async def test_every_operation_declares_a_permission_that_exists(office: Office) -> None:
    found = requests_of(office.app.openapi())
    assert len(found) >= 15
    assert {each["permission"] for each in found} <= PERMISSIONS.keys() | {PUBLIC, SESSION}
    for _, _, permissions in ROLES.values():
        assert permissions <= PERMISSIONS.keys()
    granted = frozenset().union(*(permissions for _, _, permissions in ROLES.values()))
    assert granted == PERMISSIONS.keys(), "a permission that nobody has"


async def test_every_cell_of_roles_and_operations(office: Office) -> None:
    """Refused with 403 exactly where the role lacks the permission; nobody at all gets 401."""
    for role in ROLES:
        await office.add(role.replace("_", "-"), role)
    wrong = []
    for each in requests_of(office.app.openapi()):
        permission = each["permission"]
        if permission == PUBLIC or each["template"] == "/sessions/current":
            continue
        sent = {name: each[name] for name in ("json", "files", "data") if name in each}
        headers = {"if-match": '"1"', "idempotency-key": f"key-{next(office.keys)}"}
        nobody = await office.client.request(each["method"], PREFIX + each["path"], headers=headers, **sent)
        if nobody.status_code != 401:
            wrong.append(("nobody", each["method"], each["template"], nobody.status_code, nobody.text))
        for role, (_, _, permissions) in ROLES.items():
            token = office.tokens[role.replace("_", "-")]
            who = {"authorization": f"Bearer {token}", "idempotency-key": f"key-{next(office.keys)}"}
            response = await office.client.request(each["method"], PREFIX + each["path"], headers=headers | who, **sent)
            allowed = permission == SESSION or permission in permissions
            refused = response.status_code == 403 and response.json().get("permission") == permission
            away = response.status_code == 503 and response.json()["code"] == "ledger_away"
            if refused == allowed or (response.status_code >= 500 and not away):
                wrong.append((role, each["method"], each["template"], response.status_code, response.text))
    assert not wrong


async def test_a_session_and_its_end(office: Office) -> None:
    await office.add("li", "auditor")
    me = (await office.ask("li", "GET", "/me")).json()
    assert (me["user"]["name"], me["permissions"]) == ("li", sorted(ROLES["auditor"][2]))
    assert "password" not in str(me)
    assert (await office.ask("li", "DELETE", "/sessions/current")).status_code == 204
    assert (await office.ask("li", "GET", "/me")).json()["code"] == "not_logged_on"


@pytest.mark.parametrize(("minutes", "steps", "good"), [(29, 3, True), (31, 1, False), (25, 20, False)])
async def test_sessions_end_when_nobody_uses_them_and_at_last(
    office: Office, minutes: int, steps: int, good: bool
) -> None:
    await office.add("li", "auditor")
    for _ in range(steps):
        office.pass_by(minutes=minutes)
        response = await office.ask("li", "GET", "/me")
    assert (response.status_code == 200) is good


async def test_wrong_passwords_lock_for_a_while(office: Office) -> None:
    await office.add("li", "auditor")
    for _ in range(5):
        response = await office.log_on("li", "wrong")
        assert response.json()["code"] == "logon_refused"
    locked = await office.log_on("li")
    assert (locked.status_code, locked.json()["code"]) == (403, "user_locked")
    office.pass_by(minutes=16)
    assert (await office.log_on("li")).status_code == 201
    nobody = await office.log_on("nobody-at-all", "wrong")
    assert nobody.json() == response.json()


async def test_a_one_time_code_counts_once(office: Office) -> None:
    await office.add("li", "auditor")
    secret = (await office.ask("li", "POST", "/me/one-time-codes")).json()["secret"]
    totp = pyotp.TOTP(secret)
    assert (await office.ask("li", "PUT", "/me/one-time-codes", {"secret": secret, "code": "000000"})).status_code in {
        422,
        204,
    }
    first = totp.at(office.time)
    assert (await office.ask("li", "PUT", "/me/one-time-codes", {"secret": secret, "code": first})).status_code == 204
    assert (await office.log_on("li")).json()["code"] == "logon_refused"
    assert (await office.log_on("li", code=first)).json()["code"] == "logon_refused"  # used to switch them on
    office.pass_by(seconds=30)
    code = totp.at(office.time)
    assert (await office.log_on("li", code=code)).status_code == 201
    assert (await office.log_on("li", code=code)).json()["code"] == "logon_refused"


async def test_who_loses_a_role_loses_the_session(office: Office) -> None:
    await office.add("li", "auditor", "compliance")
    await office.add("root", "administrator")
    user = next(each for each in (await office.ask("root", "GET", "/users")).json()["items"] if each["name"] == "li")
    path = f"/users/{user['user_id']}"
    assert (await office.ask("root", "PATCH", path, {"roles": ["auditor"]})).json()["code"] == "version_missing"
    changed = await office.ask("root", "PATCH", path, {"roles": ["auditor"]}, if_match='"1"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    stale = await office.ask("root", "PATCH", path, {"branch": "x"}, if_match='"1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "changed")
    assert (await office.ask("li", "GET", "/me")).status_code == 401


async def test_nobody_changes_their_own_rights(office: Office) -> None:
    await office.add("root", "administrator")
    me = (await office.ask("root", "GET", "/me")).json()["user"]["user_id"]
    response = await office.ask("root", "PATCH", f"/users/{me}", {"roles": ["auditor"]}, if_match='"1"')
    assert response.json()["code"] == "same_person"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Ä"}, "name"),
        ({"name": "-x"}, "name"),
        ({"full_name": "  "}, "full_name"),
        ({"roles": ["boss"]}, "roles"),
        ({"password": "short"}, "password"),
        ({"password": "wang-li-wang-li"}, "password"),
        ({"password": "aaaaaaaaaaaaaaaa"}, "password"),
        ({"shoe_size": 43}, "shoe_size"),
    ],
)
async def test_a_user_that_is_wrong_names_the_field(office: Office, change: dict[str, Any], field: str) -> None:
    await office.add("root", "administrator")
    body = {"name": "wang-li", "full_name": "Wang Li", "roles": ["teller"], "password": PASSWORD} | change
    response = await office.ask("root", "POST", "/users", body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"] == field


async def test_users_come_in_pages(office: Office) -> None:
    for number in range(5):
        await office.add(f"user-{number}", "operations")
    names, cursor = [], ""
    while True:
        body = (await office.ask("user-0", "GET", f"/users?limit=2{cursor}")).json()
        names += [each["name"] for each in body["items"]]
        if body["next"] is None:
            break
        cursor = f"&cursor={body['next']}"
    assert names == [f"user-{number}" for number in range(5)]
    bad = await office.ask("user-0", "GET", "/users?cursor=abc")
    assert bad.json()["errors"] == [{"field": "cursor", "message": "not one of this API"}]
