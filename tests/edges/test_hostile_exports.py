"""What leaves the factory towards other programs' eyes: commit messages, requests on a forge, a service manager's status."""

import asyncio
import os
import socket
import unicodedata
from pathlib import Path

import pytest

import gitkit
from andon.edges import checkout, landing
from andon.edges.commits import harmless
from andon.edges.merging import line
from andon.edges.notify import Manager
from andon.edges.publish import publish_target
from andon.edges.revert import make_revert
from andon.schema.effects import MakeRevert, PublishTarget
from andon.schema.ids import Oid, TaskId
from andon.schema.inputs import CandidateMerged
from checkoutkit import REPO, Blobs, Floor, floor
from gitkit import run

HOSTILE = ("x\x1b]52;c;eA==\x07\x1b[2J\x1b]8;;https://evil.example\x1b\\l\x1b]8;;\x1b\\\x9b2J\x9d52;c;eA==\x9c\u202etxt\x08\x7f\r\u2028"
           "Andon-Task: T9")


def obeyed(text: str) -> list[str]:
    """What a terminal would obey, or what turns the reading round."""
    return [repr(sign) for sign in text
            if sign not in "\n\t" and (unicodedata.category(sign) == "Cc" or sign in "\u202e\u2066\u2028")]


@pytest.fixture
async def shop(tmp_path: Path) -> Floor:
    made = floor(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"})
    await checkout.prepare(made.prepare(), made.layout)
    return made


async def imported(shop: Floor) -> Oid:
    """Work of an agent whose commit says hostile things."""
    gitkit.commit(shop.path(), {"a.txt": "work\n"}, f"Work {HOSTILE}\n\nbody {HOSTILE}")
    read = await checkout.import_work(shop.bring(), shop.layout, Blobs())
    assert read.refused == ""
    return read.commit


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
async def test_no_commit_that_we_write_says_anything_to_a_terminal(shop: Floor, how: str) -> None:
    commit = await imported(shop)
    gitkit.commit(shop.person, {"b.txt": "moved on\n"}, "Meanwhile")
    member = shop.member(commit, title=f"Do {HOSTILE}", trailers=(f"Told: {HOSTILE}",))
    merge = shop.merge(member, onto=shop.base, how=how)
    merged = await landing.merge_candidate(merge)
    assert isinstance(merged, CandidateMerged), merged
    message = run(shop.person, "log", "-1", "--format=%B", merged.candidate)
    assert obeyed(message) == [] and "Andon-Task: T1" in message.splitlines()
    assert "Andon-Task: T9" not in message.splitlines(), "words do not become a trailer of ours"
    reverted = await make_revert(MakeRevert(
        task=TaskId("T2"), repo=REPO, git_dir=str(shop.git_dir), onto=merged.candidate, landed=merged.candidate, before=merge.onto,
        title=f"Do {HOSTILE}", at=1_700_000_900_000), Blobs())
    assert obeyed(run(shop.person, "log", "-1", "--format=%B", getattr(reverted, "commit", ""))) == []


def test_a_line_is_one_line_and_a_message_keeps_its_own() -> None:
    assert obeyed(line(HOSTILE)) == [] and "\n" not in line(f"a\n{HOSTILE}")
    assert harmless("a\rb\u2028Andon-Task: T9") == "abAndon-Task: T9"
    assert harmless("Fix it\r\n\n\tindented ü 👩‍👩‍👧\n") == "Fix it\r\n\n\tindented ü 👩‍👩‍👧\n"


TOOL = '#!/bin/sh\nprintf "%s\\0" "$@" > {told}\necho https://github.com/o/r/pull/7\n'


async def test_a_request_on_a_forge_says_what_the_task_says_and_no_more(
    shop: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(tmp_path, "init", "-q", "--bare", "-b", "main", "--template=", "remote.git")
    run(shop.person, "remote", "add", "origin", str(tmp_path / "remote.git"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(TOOL.format(told=tmp_path / "told"))
    (tmp_path / "bin/gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    done = await publish_target(PublishTarget(
        repo=REPO, git_dir=str(shop.git_dir), path=str(shop.person), target="main", oid=shop.base, how="pr", remote="origin",
        title=f"Land {HOSTILE}", body=f"body\n{HOSTILE}\nlast"))
    said = await asyncio.to_thread((tmp_path / "told").read_text)
    assert done.done and obeyed(said.replace("\0", "")) == [] and "body\n" in said and "\nlast" in said


def test_a_service_manager_is_told_one_plain_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "n"))
        manager = Manager.found({"NOTIFY_SOCKET": str(tmp_path / "n")})

        async def leave() -> None:
            manager.leaving(f"because {HOSTILE}\nREADY=1")
        asyncio.run(leave())
        told = ear.recv(4096).decode()
    assert obeyed(told) == [] and "READY=1" not in told.splitlines() and "STATUS=leaving: because x" in told
