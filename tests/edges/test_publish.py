import os
from pathlib import Path

import pytest

import gitkit
from andon.edges import landing, publish
from andon.schema.effects import PublishTarget
from andon.schema.ids import Oid
from checkoutkit import REPO, Floor, floor
from gitkit import run
from landingkit import change, land

TOOL = """#!/bin/sh
printf '%s\\n' "$(basename "$0")" "$PWD" "$@" > {told}
{deed}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    """A person whose origin is a bare repository."""
    made = floor(tmp_path, {"a.txt": "a\n"})
    run(tmp_path, "init", "-q", "--bare", "-b", "main", "--template=", "remote.git")
    run(made.person, "remote", "add", "origin", str(tmp_path / "remote.git"))
    run(made.person, "push", "-q", "origin", "main")
    return made


@pytest.fixture
def remote(shop: Floor, tmp_path: Path) -> Path:
    return tmp_path / "remote.git"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only git is on PATH; what `install` puts before it writes here what it is called with."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("git", "sh", "basename", "sleep"):
        found = next(Path(place) / name for place in os.environ["PATH"].split(":") if (Path(place) / name).exists())
        (tmp_path / "bin" / name).symlink_to(found)
    monkeypatch.setenv("PATH", f"{tools}:{tmp_path / 'bin'}")
    return tmp_path / "told"


def install(told: Path, name: str, deed: str) -> None:
    tool = told.parent / "tools" / name
    tool.write_text(TOOL.format(told=told, deed=deed))
    tool.chmod(0o755)


def called(told: Path) -> list[str]:
    """Name, place and arguments of the last tool that ran; empty when none did."""
    return told.read_text().splitlines() if told.exists() else []


async def landed(shop: Floor) -> str:
    return await land(shop, change(shop, {"a.txt": "landed\n"}))


def effect(shop: Floor, oid: str, how: str, remote: str = "origin") -> PublishTarget:
    return PublishTarget(repo=REPO, git_dir=str(shop.git_dir), path=str(shop.person), target="main", oid=Oid(oid), how=how,
                         remote=remote, title="Land T1", body="T1: Do it")


async def test_a_push_takes_the_remotes_branch_to_trunk_and_may_be_repeated(shop: Floor, remote: Path) -> None:
    oid = await landed(shop)
    for _ in range(2):
        seen = await landing.publish_target(effect(shop, oid, "push"))
        assert (seen.done, seen.where, seen.because) == (True, "origin/main", "")
    assert gitkit.ref(remote, "refs/heads/main") == oid
    assert run(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


async def test_a_remote_that_went_elsewhere_is_never_overwritten(shop: Floor, remote: Path) -> None:
    theirs = change(shop, {"b.txt": "theirs\n"}, "theirs")
    run(shop.person, "push", "-q", "origin", "theirs:main")
    run(shop.person, "config", "remote.origin.push", "+refs/heads/*:refs/heads/*")
    seen = await landing.publish_target(effect(shop, await landed(shop), "push"))
    assert not seen.done and "origin did not take main: it has commits that trunk lacks" in seen.because
    assert gitkit.ref(remote, "refs/heads/main") == theirs


async def test_what_the_remotes_hook_says_is_told(shop: Floor, remote: Path) -> None:
    (remote / "hooks").mkdir()
    (remote / "hooks/pre-receive").write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    (remote / "hooks/pre-receive").chmod(0o755)
    seen = await landing.publish_target(effect(shop, await landed(shop), "push"))
    assert not seen.done and "pre-receive hook declined" in seen.because


async def test_the_persons_own_hook_has_its_say_as_when_they_push(shop: Floor, remote: Path) -> None:
    (shop.git_dir / "hooks").mkdir()
    (shop.git_dir / "hooks/pre-push").write_text(f"#!/bin/sh\necho $PWD > {remote}/ran\nexit 1\n")
    (shop.git_dir / "hooks/pre-push").chmod(0o755)
    oid = await landed(shop)
    assert not (await landing.publish_target(effect(shop, oid, "push"))).done
    assert (remote / "ran").read_text().strip() == str(shop.person) and gitkit.ref(remote, "refs/heads/main") == shop.base


@pytest.mark.parametrize("how", ["", "none"])
async def test_nothing_is_contacted_unless_it_is_said_how(shop: Floor, remote: Path, how: str, told: Path) -> None:
    install(told, "gh", "exit 0")
    seen = await landing.publish_target(effect(shop, await landed(shop), how))
    assert not seen.done and "not contacted" in seen.because and not called(told)
    assert gitkit.ref(remote, "refs/heads/main") == shop.base


async def test_a_remote_that_is_not_there_is_told(shop: Floor) -> None:
    oid = await landed(shop)
    for how in ("push", "pr"):
        seen = await landing.publish_target(effect(shop, oid, how, "nowhere"))
        assert not seen.done and "nowhere" in seen.because


async def test_gh_opens_a_pull_request_from_a_branch_of_its_own(shop: Floor, remote: Path, told: Path) -> None:
    oid = await landed(shop)
    branch = f"andon/main-{oid[:12]}"
    install(told, "gh", "echo Creating; echo https://github.com/o/r/pull/7")
    install(told, "glab", "exit 1")
    seen = await landing.publish_target(effect(shop, oid, "pr"))
    assert (seen.done, seen.where) == (True, "https://github.com/o/r/pull/7")
    assert called(told) == [
        "gh", str(shop.person), "pr", "create", "--base", "main", "--head", branch, "--title", "Land T1", "--body", "T1: Do it"]
    assert gitkit.ref(remote, f"refs/heads/{branch}") == oid and gitkit.ref(remote, "refs/heads/main") == shop.base


async def test_a_request_that_is_open_already_is_that_one(shop: Floor, told: Path) -> None:
    install(told, "gh", "echo 'a pull request already exists:' >&2; echo https://github.com/o/r/pull/7 >&2; exit 1")
    seen = await landing.publish_target(effect(shop, await landed(shop), "pr"))
    assert (seen.done, seen.where) == (True, "https://github.com/o/r/pull/7")


async def test_glab_is_taken_for_a_gitlab_remote_or_when_there_is_no_gh(shop: Floor, remote: Path, told: Path) -> None:
    oid = await landed(shop)
    install(told, "glab", "echo https://gitlab.com/o/r/-/merge_requests/3")
    assert (await landing.publish_target(effect(shop, oid, "pr"))).where.endswith("merge_requests/3")
    assert called(told)[:5] == ["glab", str(shop.person), "mr", "create", "--target-branch"]
    install(told, "gh", "exit 1")
    lab = remote.with_name("gitlab.git")
    run(shop.person, "clone", "-q", "--bare", str(remote), str(lab))
    run(shop.person, "remote", "add", "lab", str(lab))
    assert (await landing.publish_target(effect(shop, oid, "pr", "lab"))).done


async def test_without_a_tool_nothing_is_pushed_for_a_request(shop: Floor, remote: Path, told: Path) -> None:
    seen = await landing.publish_target(effect(shop, await landed(shop), "pr"))
    assert not seen.done and "neither gh nor glab is installed" in seen.because
    assert run(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/main" and not called(told)


async def test_a_tool_that_fails_or_hangs_is_told(shop: Floor, told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oid = await landed(shop)
    install(told, "gh", "echo 'no account is logged in' >&2; exit 4")
    seen = await landing.publish_target(effect(shop, oid, "pr"))
    assert not seen.done and seen.because.endswith("no account is logged in")
    monkeypatch.setattr(publish, "TOOL_S", 0.3)
    install(told, "gh", "sleep 60")
    assert "took longer" in (await landing.publish_target(effect(shop, oid, "pr"))).because
