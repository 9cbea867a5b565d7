"""The facts beside a figure."""

import subprocess
from pathlib import Path

import pytest

from loadtest import machine

HERE = Path(__file__).parents[2]


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_the_revision_is_ours_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "somebody else's")
    other = git(tmp_path, "describe", "--always").strip()
    ours = machine.revision()
    monkeypatch.chdir(tmp_path)
    assert machine.revision() == ours != other
    if (HERE / ".git").exists():
        assert ours.startswith(git(HERE, "describe", "--always").strip())


def test_a_copy_in_somebody_elses_clone_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "somebody else's")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    (tmp_path / "machine.py").touch()
    assert machine.revision() == ""


def test_without_git_there_is_no_revision_and_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.machine()["commit"] == ""
