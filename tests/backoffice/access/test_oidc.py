"""Identity tokens of a provider that serves its documents over HTTP, and everything that may be wrong with one."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from backoffice.access import oidc
from backoffice.access.oidc import Provider
from backoffice.problems import Problem
from tests.backoffice.conftest import Office

AUDIENCE = "tongbao-office"


class Issuer:
    """A provider with two keys; what it serves can be changed."""

    def __init__(self) -> None:
        outer = self
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                document = outer.documents.get(self.path)
                self.send_response(200 if document is not None else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/realm"
        self.rsa = RSAKey.generate_key(2048, {"kid": "one"})
        self.curve = ECKey.generate_key("P-256", {"kid": "two"})
        self.documents: dict[str, Any] = {
            "/realm/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/realm/keys": KeySet([self.rsa, self.curve]).as_dict(private=False),
        }
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def token(self, at: datetime, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(at.timestamp())
        body = {"iss": self.url, "aud": AUDIENCE, "sub": "li-7", "iat": now, "exp": now + 300, "nonce": str(now)}
        body |= claims
        key = key or self.rsa
        body = {name: each for name, each in body.items() if each is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid or "one"}, body, key, algorithms=[algorithm])


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
async def tied(office: Office, issuer: Issuer) -> Office:
    """An office that trusts the issuer, and a user li who is tied to the subject li-7."""
    office.use(oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    await office.add("li", "auditor")
    await office.add("root", "administrator")
    items = (await office.ask("root", "GET", "/users")).json()["items"]
    office.li = next(each["user_id"] for each in items if each["name"] == "li")  # type: ignore[attr-defined]
    path = f"/users/{office.li}/identity"  # type: ignore[attr-defined]
    assert (await office.ask("root", "PUT", path, {"subject": "li-7"})).status_code == 204
    return office


async def log_on(office: Office, token: str) -> tuple[int, str]:
    answer = await office.ask(None, "POST", "/sessions/identity", {"token": token})
    return answer.status_code, answer.json().get("code", answer.json().get("token"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_opens_one_session(tied: Office, issuer: Issuer, algorithm: str) -> None:
    token = issuer.token(tied.time, issuer.rsa if algorithm == "RS256" else issuer.curve, algorithm)
    status, session = await log_on(tied, token)
    assert status == 201
    tied.tokens["li"] = session
    me = (await tied.ask("li", "GET", "/me")).json()
    assert (me["user"]["name"], "audit.read" in me["permissions"]) == ("li", True)
    assert await log_on(tied, token) == (401, "logon_refused")
    assert issuer.asked.count("/realm/keys") == 1
    assert token not in (await tied.ask("li", "GET", "/audit?action=session.*")).text


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://elsewhere"},
    "another audience": {"aud": "somebody-else"},
    "made for another": {"aud": [AUDIENCE, "other"], "azp": "other"},
    "over": {"exp": 1_000_000_000},
    "from the future": {"iat": 4_000_000_000},
    "not yet": {"nbf": 4_000_000_000},
    "without an end": {"exp": None},
    "without a subject": {"sub": None},
    "somebody else": {"sub": "wang-8"},
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_token_that_is_not_good_opens_nothing(tied: Office, issuer: Issuer, name: str) -> None:
    assert await log_on(tied, issuer.token(tied.time, **WRONG[name])) == (401, "logon_refused")
    assert (await log_on(tied, issuer.token(tied.time)))[0] == 201


async def test_signatures_that_anybody_can_make_are_refused(tied: Office, issuer: Issuer) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    shared = OctKey.import_key(json.dumps(issuer.rsa.as_dict(private=False)), {"kid": "one"})
    good = issuer.token(tied.time)
    head, body, signature = good.split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + body + "."
    for token in (
        issuer.token(tied.time, stranger),
        issuer.token(tied.time, shared, "HS256"),
        unsigned,
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "no token at all, but long enough",
    ):
        assert await log_on(tied, token) == (401, "logon_refused")


async def test_a_new_key_is_fetched_when_a_token_names_it(
    tied: Office, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await log_on(tied, issuer.token(tied.time)))[0] == 201
    new = RSAKey.generate_key(2048, {"kid": "three"})
    issuer.documents["/realm/keys"] = KeySet([new]).as_dict(private=False)
    tied.pass_by(seconds=1)
    token = issuer.token(tied.time, new)
    assert await log_on(tied, token) == (401, "logon_refused")  # fetched a moment ago
    monkeypatch.setattr(oidc, "REFRESH_SECONDS", 0.0)
    assert (await log_on(tied, token))[0] == 201


async def test_a_provider_that_does_not_answer_or_lies(tied: Office, issuer: Issuer) -> None:
    for document in (
        None,
        {"issuer": "https://elsewhere", "jwks_uri": f"{issuer.url}/keys"},
        {"issuer": issuer.url},
        7,
    ):
        issuer.documents["/realm/.well-known/openid-configuration"] = document
        with pytest.raises(Problem) as raised:
            await Provider(issuer.url, AUDIENCE, lambda: tied.time).claims(issuer.token(tied.time))
        assert raised.value.code.status == 503


async def test_ties_are_an_administrators_and_end(tied: Office, issuer: Issuer) -> None:
    await tied.add("wang", "teller")
    items = (await tied.ask("root", "GET", "/users")).json()["items"]
    ids = {each["name"]: each["user_id"] for each in items}
    taken = await tied.ask("root", "PUT", f"/users/{ids['wang']}/identity", {"subject": "li-7"})
    assert (taken.status_code, taken.json()["code"]) == (409, "exists")
    own = await tied.ask("root", "PUT", f"/users/{ids['root']}/identity", {"subject": "x"})
    assert own.json()["code"] == "same_person"
    status, session = await log_on(tied, issuer.token(tied.time))
    assert status == 201
    tied.tokens["li"] = session
    assert (await tied.ask("root", "DELETE", f"/users/{ids['li']}/identity")).status_code == 204
    assert (await tied.ask("li", "GET", "/me")).status_code == 401
    tied.pass_by(seconds=1)
    assert await log_on(tied, issuer.token(tied.time)) == (401, "logon_refused")


async def test_without_a_provider_nobody_logs_on_by_token(office: Office) -> None:
    assert await log_on(office, "x" * 40) == (409, "state")
