"""The settings of a follower."""

from pathlib import Path

import pytest

from server.follower.settings import LEADERS_ONLY, FollowSettings, own_table
from server.settings import Settings, SettingsError

PAGE = Path(__file__).parents[3] / "docs" / "FOLLOWERS.md"


def test_the_page_has_the_table() -> None:
    assert own_table() in PAGE.read_text("utf-8")


def test_what_is_the_leaders_alone_is_a_setting_of_the_server() -> None:
    assert set(Settings.__dataclass_fields__) >= LEADERS_ONLY


def test_there_must_be_a_log() -> None:
    with pytest.raises(SettingsError, match=r"^database_url: "):
        FollowSettings.from_environment({}, {})
    assert FollowSettings.from_environment({"leader_dir": "there"}, {}).leader_dir == Path("there")


def test_only_a_replica_needs_channels() -> None:
    FollowSettings.from_environment({}, {"DATABASE_URL": "postgresql:///x"})
    with pytest.raises(SettingsError, match=r"^channels: "):
        FollowSettings.from_environment({"replica": True}, {"DATABASE_URL": "postgresql:///x"})
    replica = FollowSettings.from_environment({"replica": True, "dev": True}, {"DATABASE_URL": "postgresql:///x"})
    assert replica.port != Settings.from_environment({"dev": True}, {}).port
