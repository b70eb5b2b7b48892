"""Commits that are read without a process: only files whose bytes have the name that was asked for."""

import zlib
from pathlib import Path

import pytest

import gitkit
from andon.edges import git as git_module
from andon.edges.commits import COMMIT_BYTES, commit_bytes, name_of, plain_commits, read_commits, write_commit
from andon.schema.errors import Mistake
from gitkit import run


@pytest.fixture
def person(tmp_path: Path) -> Path:
    return gitkit.make_repo(tmp_path / "person", {"a.txt": "a\n"})


def place_of(person: Path, oid: str) -> Path:
    return person / ".git/objects" / oid[:2] / oid[2:]


async def test_new_commits_are_read_without_a_process_and_packed_ones_by_git(person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = gitkit.ref(person, "HEAD")
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(git_module, "observe", calls.append)
    (plain,) = await read_commits(person / ".git", [head])
    assert calls == [] and plain.oid == head and plain.tree == gitkit.tree(person)
    run(person, "gc", "-q")
    assert not place_of(person, head).exists() and plain_commits(person / ".git", [head]) is None
    assert await read_commits(person / ".git", [head]) == [plain] and len(calls) == 1


@pytest.mark.parametrize("content", [
    b"", b"no zlib", zlib.compress(b"commit 3\0abc"), zlib.compress(b"blob 5\0tree "), zlib.compress(b"commit 9\0tree "),
    zlib.compress(b"commit %d\0tree " % (2 * COMMIT_BYTES) + b"x" * (2 * COMMIT_BYTES)),
], ids=["empty", "garbage", "another", "a blob", "a wrong length", "endless"])
async def test_a_file_that_is_not_what_its_name_says_is_never_taken_for_a_commit(person: Path, content: bytes) -> None:
    oid = await write_commit(person / ".git", commit_bytes(gitkit.tree(person), (), "One", author="A <a@e.org> 1 +0000"))
    place_of(person, oid).chmod(0o600)
    place_of(person, oid).write_bytes(content)
    assert plain_commits(person / ".git", [oid]) is None
    with pytest.raises(Mistake):
        await read_commits(person / ".git", [oid])


async def test_another_commit_under_a_name_is_noticed(person: Path) -> None:
    data = [commit_bytes(gitkit.tree(person), (), words, author="A <a@e.org> 1 +0000") for words in ("One", "Two")]
    one, two = [await write_commit(person / ".git", each) for each in data]
    assert [name_of(each) for each in data] == [one, two]
    place_of(person, one).chmod(0o600)
    place_of(person, one).write_bytes(place_of(person, two).read_bytes())
    assert plain_commits(person / ".git", [one]) is None and plain_commits(person / ".git", [two])
