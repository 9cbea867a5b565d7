"""TLS 1.3 and nothing older."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from server.channels import generate_key
from server.lifecycle import Exit, Server, exit_code_of
from tests.server.serving.harness import Client, accounts, running, settings_for, statuses, transfer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command + names, check=True, capture_output=True, timeout=60)
    return certificate, key


async def test_requests_over_tls(tmp_path: Path, database: str, certificate: tuple[Path, Path]) -> None:
    key, stored = generate_key()
    (tmp_path / "channels.toml").write_text(f'[channels.a]\nkey = "{stored}"\npermissions = ["accounts", "transfers"]')
    settings = settings_for(
        tmp_path, database_url=database, channels=tmp_path / "channels.toml",
        tls_cert=certificate[0], tls_key=certificate[1], handshake_seconds=2,
    )  # fmt: skip
    async with running(settings) as server:
        context = ssl.create_default_context(cafile=str(certificate[0]))
        async with await Client.connect(server.port, ssl=context) as client:
            assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            client.send("logon", {"channel": "a", "key": key})
            client.send("create_accounts", accounts([1, 2]))
            assert (await client.receive())["result"]["channel"] == "a"
            assert statuses((await client.receive())["result"]) == ["created", "created"]
            numbers = [client.send("create_transfers", [transfer() for _ in range(50)]) for _ in range(200)]
            for number in numbers:
                reply = await client.receive()
                assert reply["id"] == number
                assert set(statuses(reply["result"])) == {"created"}
            client.send_line(b"garbage")
            assert (await client.receive())["error"]["code"] == -32700
            assert await client.ended()
        old = ssl.create_default_context(cafile=str(certificate[0]))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Client.connect(server.port, ssl=old)
        # Plain text is no fallback.
        async with await Client.connect(server.port) as plain:
            plain.send("ping")
            with contextlib.suppress(ConnectionError):
                assert b"result" not in await plain.reader.read()
        # Nor does a client that says nothing hold a place for ever.
        async with await Client.connect(server.port) as silent:
            async with asyncio.timeout(8):
                assert await silent.ended()
        async with await Client.connect(server.port, ssl=context) as client:
            assert "time" in await client.result("ping")


async def test_a_bad_certificate_stops_the_start(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "channels.toml").write_text(f'[channels.a]\nkey = "{generate_key()[1]}"')
    for cert, key in ((certificate[1], certificate[1]), (tmp_path / "absent", certificate[1])):
        server = Server(
            settings_for(tmp_path / "data", channels=tmp_path / "channels.toml", tls_cert=cert, tls_key=key)
        )
        try:
            with pytest.raises(Exception, match="tls_cert: ") as caught:
                await server.start()
            assert exit_code_of(caught.value) == Exit.SETTINGS
        finally:
            await server.stop()
        assert not (tmp_path / "data").exists(), "nothing was touched"
