"""A browser before a real office: a process of its own, a database, and an engine that has the money."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backoffice.settings import Settings
from server.journal import PrivatePostgres
from tests.backoffice.conftest import PASSWORD, Office, _execute, dsn_of
from tests.server.serving.harness import running, settings_for

CHROMIUM = shutil.which("chromium")
PICTURES = Path(os.environ.get("TONGBAO_SCREENSHOTS", Path(__file__).parent / "tmp"))
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
START_SECONDS = 60
THERE = "document.querySelector('#main')?.dataset.at === location.hash && !document.querySelector('[aria-busy=true]')"


class Desk:
    """Somebody at a browser. What the browser complains about is kept in `faults`; a test ends with none."""

    def __init__(self, page: Any, address: str, faults: list[str]) -> None:
        self.page, self.address, self.faults = page, address, faults

    async def open(self, path: str = "/") -> None:
        """Go to a page of the console, by its address behind the #."""
        await self.page.goto(f"{self.address}/#{path}")
        await self.settled()

    async def settled(self) -> None:
        """Wait until the page that the address names is there, with its lists."""
        async with asyncio.timeout(20):
            while not await self.page.evaluate(THERE):  # the page's policy forbids what wait_for_function does
                await asyncio.sleep(0.02)

    async def log_on(self, name: str) -> None:
        await self.page.goto(f"{self.address}/")
        fields = self.page.locator(".logon input")
        await fields.nth(0).fill(name)
        await fields.nth(1).fill(PASSWORD)
        await self.page.locator(".logon button[type=submit]").click()
        await self.page.locator(".menu").wait_for(state="attached")
        await self.settled()

    async def field(self, label: str, text: str) -> None:
        inputs = self.page.locator("input, textarea")
        await inputs.and_(self.page.get_by_label(label)).first.fill(text)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).last.click()

    async def picture(self, name: str, *, full: bool = True) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=full)


class Site:
    """The office's process, and who sits before it."""

    def __init__(self, bank: Office, browser: Any, address: str) -> None:
        self.bank, self.browser, self.address = bank, browser, address
        self.contexts: list[Any] = []
        self.faults: list[str] = []

    async def desk(self, language: str = "zh-CN", size: dict[str, int] = WIDE, **more: Any) -> Desk:
        """Somebody else sits down: no cookies, nothing stored."""
        context = await self.browser.new_context(locale=language, viewport=size, **more)
        context.set_default_timeout(20_000)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("console", lambda message: self._heard(page.url, message))
        page.on("requestfailed", lambda request: self._elsewhere(request.url))
        page.on("request", lambda request: self._elsewhere(request.url))
        return Desk(page, self.address, self.faults)

    def _heard(self, url: str, message: Any) -> None:
        # A refusal of the API is part of some journeys; the browser tells of each. Anything else is a fault of ours.
        if message.type in {"error", "warning"} and "the server responded with a status of 4" not in message.text:
            self.faults.append(f"{url}: {message.text}")

    def _elsewhere(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"asked elsewhere: {url}")

    async def user(self, name: str, full_name: str, *roles: str) -> None:
        from backoffice.access import users

        async with self.bank.transaction() as context:
            await users.create(context, name=name, full_name=full_name, roles=roles, password=PASSWORD)


@contextlib.asynccontextmanager
async def office_process(settings: Settings) -> AsyncIterator[str]:
    """Run `tongbao-office serve` on a free port; its address."""
    environment = os.environ | {
        "OFFICE_DATABASE_URL": settings.database_url,
        "OFFICE_ENGINE": settings.engine,
        "OFFICE_MASTER_KEY_FILE": settings.master_key_file,
        "OFFICE_RATE_ADDRESS": "none",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backoffice.cli", "serve", "--port", "0", env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    heard = ""
    reading: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (found := re.search(r"running on (http://[\d.:]+)", heard)):
                line = await process.stderr.readline()
                assert line, heard
                heard += line.decode()
        reading = asyncio.create_task(process.stderr.read())
        yield found[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    office_postgres: PrivatePostgres, office_template: str, key_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """One office for all journeys: database, engine, process and browser."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    playwright = pytest.importorskip("playwright.async_api")
    await _execute(office_postgres, f"CREATE DATABASE console TEMPLATE {office_template}")
    await _execute(office_postgres, "CREATE DATABASE console_engine")
    settings = settings_for(
        tmp_path_factory.mktemp("engine"), database_url=dsn_of(office_postgres, "console_engine")
    )  # fmt: skip
    dsn = dsn_of(office_postgres, "console")
    async with running(settings) as server:
        bank = Office(dsn, key_file, f"127.0.0.1:{server.port}")
        bank.time = datetime.now(UTC)
        await bank.prepare()
        await bank.gateway.start()
        async with (
            office_process(bank.settings) as address,
            playwright.async_playwright() as driver,
        ):
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            yield Site(bank, browser, address)
            await browser.close()
        await bank.client.aclose()
        await bank.gateway.stop()
        await bank.database.close()
    await _execute(office_postgres, "DROP DATABASE console WITH (FORCE)")
    await _execute(office_postgres, "DROP DATABASE console_engine WITH (FORCE)")


@pytest_asyncio.fixture(loop_scope="module")
async def site(house: Site) -> AsyncIterator[Site]:
    house.faults.clear()
    yield house
    for context in house.contexts:
        await context.close()
    house.contexts.clear()
    assert not house.faults, house.faults
