"""A session's private home: seeded whole, never outside itself, and what the agent made of a seed stays."""

import stat
from pathlib import Path

import pytest

from andon.edges import homes
from andon.schema.agent import Seed
from andon.schema.errors import Mistake


def test_seeds_are_laid_private_and_what_the_agent_changed_stays(tmp_path: Path) -> None:
    home = tmp_path / "homes/T1.1"
    seeds = (Seed(path=".agent/settings.json", text="{}"), Seed(path="hooks.json", text="new", always=True))
    assert homes.lay(home, seeds, copies=False) == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o700 and stat.S_IMODE((home / ".agent/settings.json").stat().st_mode) == 0o600
    (home / ".agent/settings.json").write_text("mine")
    (home / "hooks.json").write_text("old")
    homes.lay(home, seeds, copies=False)
    assert (home / ".agent/settings.json").read_text() == "mine" and (home / "hooks.json").read_text() == "new"


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", ""])
def test_a_seed_outside_the_home_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(Mistake, match="outside"):
        homes.lay(tmp_path / "session", (Seed(path=path, text="x"),), copies=False)


def test_a_link_that_an_agent_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    home, outside = tmp_path / "session", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (home / ".agent").symlink_to(outside)
    with pytest.raises(Mistake, match="is a link"):
        homes.lay(home, (Seed(path=".agent/settings.json", text="x"),), copies=False)
    assert not list(outside.iterdir())


def test_a_login_is_copied_only_with_consent_and_what_is_not_there_is_named(tmp_path: Path) -> None:
    login = tmp_path / "login.json"
    login.write_text("secret")
    seeds = (Seed(path="login.json", copy=str(login)), Seed(path="other.json", copy=str(tmp_path / "none")))
    assert homes.lay(tmp_path / "a", seeds, copies=False) == [str(login), str(tmp_path / "none")]
    assert not (tmp_path / "a/login.json").exists()
    assert homes.lay(tmp_path / "b", seeds, copies=True) == [str(tmp_path / "none")]
    assert (tmp_path / "b/login.json").read_text() == "secret" and stat.S_IMODE((tmp_path / "b/login.json").stat().st_mode) == 0o600
