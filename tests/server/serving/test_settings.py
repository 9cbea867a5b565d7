"""Settings: where they come from, what they refuse, and that the handbook lists them as they are."""

from pathlib import Path

import pytest

from server.settings import PROFILES, Settings, SettingsError, table

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"


def settings(environment: dict[str, str] | None = None, **flags: object) -> Settings:
    return Settings.from_environment({"dev": True} | flags, environment or {})


def test_flags_win_over_environment_over_profile_over_default() -> None:
    assert settings().items_batch_max == 16_384
    assert settings(profile="latency").items_batch_max == PROFILES["latency"]["items_batch_max"]
    environment = {"TONGBAO_ITEMS_BATCH_MAX": "9000"}
    assert settings(environment, profile="latency").items_batch_max == 9_000
    assert settings(environment, items_batch_max=10_000).items_batch_max == 10_000
    assert settings({"TONGBAO_PROFILE": "small"}).accounts_max == 1_048_576
    assert settings({"DATABASE_URL": "postgresql://x"}).database_url == "postgresql://x"
    assert settings({"TONGBAO_PORT": "", "TONGBAO_LOG_FORMAT": "console"}).port == 7420
    assert settings(port=None).port == 7420


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        ({"TONGBAO_PORT": "seven"}, {}, "port: 'seven' is not a whole number"),
        ({}, {"port": 70_000}, "port: 70000 is more than 65535"),
        ({}, {"handshake_seconds": 0}, "handshake_seconds: 0 is less than 1"),
        ({"TONGBAO_DEV": "maybe"}, {"dev": None}, "dev: 'maybe' is neither true nor false"),
        ({}, {"profile": "fast"}, "profile: 'fast' is not one of standard, latency, throughput, small"),
        ({}, {"speed": 9}, "speed: there is no such setting"),
        ({}, {"host": "0.0.0.0"}, "host: 0.0.0.0 is not loopback, and dev is on"),
        ({}, {"http_host": "::"}, "http_host: :: is not loopback, and dev is on"),
        ({}, {"dev": False}, "channels: without a file of channels nobody could log on (or start with --dev)"),
        ({}, {"dev": False, "channels": "c", "tls_cert": "x"}, "tls_key: tls_cert and tls_key are given together"),
        ({}, {"dev": False, "channels": "c", "tls_key": "x"}, "tls_cert: tls_cert and tls_key are given together"),
        ({}, {"tls_cert": "x", "tls_key": "y"}, "tls_cert: dev is on, which speaks plain TCP on loopback"),
        ({}, {"write_high_bytes": 2**27}, "write_high_bytes: is more than write_cap_bytes"),
        ({}, {"write_cap_bytes": 2**20}, "write_cap_bytes: is less than line_bytes_max"),
        ({}, {"items_batch_max": 1_000_000}, "write_cap_bytes: is less than the "),
        ({}, {"snapshot_every_items": 5}, "snapshot_stop_items: is more than snapshot_every_items"),
        ({}, {"snapshots_kept": 1}, "snapshots_kept: 1 is less than 2"),
        ({}, {"transfers_max": 2**31}, "transfers_max: 2147483648 is not between 1 and 2147483646"),
        ({}, {"log_retention": "burn"}, "log_retention: 'burn' is not one of keep, archive, drop"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(environment: dict[str, str], flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(environment, **flags)
    assert str(caught.value).startswith(message)


def test_every_profile_is_valid() -> None:
    for name in PROFILES:
        assert settings(profile=name).profile == name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        settings().port = 1  # type: ignore[misc]


def test_the_handbook_has_the_table() -> None:
    assert table() in OPERATIONS.read_text("utf-8")
