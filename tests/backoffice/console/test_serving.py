"""Files under strict headers, and sessions in a cookie that only the console can use."""

from typing import Any

import pytest

from backoffice.api.app import PREFIX
from backoffice.api.working import COOKIE
from backoffice.console import CONSOLE_POLICY
from backoffice.console.serving import table
from tests.backoffice.conftest import PASSWORD, Office

CONSOLE = {"x-office-console": "1"}


async def log_on(office: Office, base: str = "http://office", **headers: str) -> Any:
    body = {"name": "li", "password": PASSWORD}
    return await office.client.post(f"{base}{PREFIX}/console/session", json=body, headers=headers)


@pytest.mark.parametrize("path", ["/", "/api/docs", "/static/js/app.js", "/static/css/console.css", "/static/nothing"])
async def test_strict_headers_on_every_answer(office: Office, path: str) -> None:
    answer = await office.client.get(path)
    assert answer.status_code == (404 if path.endswith("nothing") else 200)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'",
                 "base-uri 'none'", "form-action 'none'"):  # fmt: skip
        assert part in policy.split("; ")
    assert ("trusted-types 'none'" in policy) is (path != "/api/docs")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_file_is_known_by_its_content(office: Office) -> None:
    path = "/static/js/app.js"
    first = await office.client.get(path)
    again = await office.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await office.client.get(path, headers={"accept-encoding": "identity"})
    assert plain.headers["etag"] != first.headers["etag"]
    assert plain.content == first.content == table()[path].content
    assert (await office.client.head(path)).status_code == 200
    assert (await office.client.post("/")).status_code == 405


@pytest.mark.parametrize(
    "path", ["/static/../serving.py", "/static/%2e%2e/serving.py", "/static//etc/passwd", "/static/js/", "/static/"]
)
async def test_nothing_but_the_files_is_served(office: Office, path: str) -> None:
    assert (await office.client.get(path)).status_code == 404


def test_no_page_holds_a_script_or_style() -> None:
    for path, file in table().items():
        text = file.content.decode()
        if file.kind.startswith("text/html"):
            assert "<style" not in text
            assert "style=" not in text
            assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')
            assert "onload=" not in text
        if file.kind.startswith("text/javascript") and "swagger" not in path:
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
                assert word not in text, f"{path}: {word}"
    assert "report-only" not in CONSOLE_POLICY


async def test_the_cookie_counts_only_beside_the_header(office: Office) -> None:
    await office.add("li", "auditor")
    made = await log_on(office, **CONSOLE)
    assert made.status_code == 201
    assert "token" not in made.text
    cookie = made.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/api/", "Max-Age=28800"):
        assert part in cookie
    assert "Secure" not in cookie
    assert (await office.client.get(f"{PREFIX}/me")).json()["code"] == "not_logged_on", "as a page from elsewhere asks"
    assert (await office.client.get(f"{PREFIX}/me", headers={"x-office-console": "0"})).status_code == 401
    assert (await office.client.get(f"{PREFIX}/me", headers=CONSOLE)).json()["user"]["name"] == "li"
    wrong = CONSOLE | {"authorization": "Bearer nothing"}
    assert (await office.client.get(f"{PREFIX}/me", headers=wrong)).status_code == 401, "a token that is sent, counts"
    session = (await office.client.get(f"{PREFIX}/console/session", headers=CONSOLE)).json()
    assert (session["idle_minutes"], session["business_date"]) == (30, "2026-11-23")
    ended = await office.client.delete(f"{PREFIX}/sessions/current", headers=CONSOLE)
    assert ended.status_code == 204
    assert "Max-Age=0" in ended.headers["set-cookie"]
    office.client.cookies.set(COOKIE, cookie.partition("=")[2].partition(";")[0], domain="office", path="/api/")
    assert (await office.client.get(f"{PREFIX}/me", headers=CONSOLE)).status_code == 401, "the session is over, too"


async def test_logging_on_needs_the_header_and_marks_the_cookie_under_tls(office: Office) -> None:
    await office.add("li", "auditor")
    refused = await log_on(office)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "X-Office-Console")
    assert "Secure" in (await log_on(office, "https://office", **CONSOLE)).headers["set-cookie"]
    wrong = await office.client.post(
        f"{PREFIX}/console/session", json={"name": "li", "password": "wrong"}, headers=CONSOLE
    )
    assert (wrong.status_code, wrong.json()["code"]) == (401, "logon_refused")
    assert "set-cookie" not in wrong.headers


async def test_no_preflight_is_answered(office: Office) -> None:
    """A page from elsewhere asks first whether it may send the header; nobody says yes."""
    asked = {"origin": "https://evil.example", "access-control-request-method": "GET",
             "access-control-request-headers": "x-office-console"}  # fmt: skip
    answer = await office.client.options(f"{PREFIX}/me", headers=asked)
    assert answer.status_code == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_notices_are_for_whom_they_are_meant(office: Office) -> None:
    from backoffice.notices import notify

    await office.add("li", "auditor")
    await office.add("wang", "teller")
    async with office.transaction() as context:
        await notify(context, "role:auditor", "test", {"n": 1})
    (found,) = (await office.ask("li", "GET", "/notices")).json()["items"]
    assert (found["kind"], found["read_at"]) == ("test", None)
    assert (await office.ask("wang", "GET", "/notices")).json()["items"] == []
    path = f"/notices/{found['notice_id']}/read"
    assert (await office.ask("wang", "PUT", path)).status_code == 404
    assert (await office.ask("li", "PUT", path)).status_code == 204
    assert (await office.ask("li", "GET", "/notices")).json()["items"][0]["read_at"] is not None
