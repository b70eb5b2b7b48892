"""A person may stand in a checkout that an agent had its hands in: looking at it runs nothing that is planted there."""

from pathlib import Path

import pytest

import gitkit
from andon.cli import gitlook
from poisonkit import poison


def test_looking_at_a_hostile_checkout_runs_nothing(tmp_path: Path) -> None:
    evil = tmp_path / "evil.sh"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/canary\ncat\n')
    evil.chmod(0o755)
    repo = gitkit.make_repo(tmp_path / "repo", {"andon.toml": "x = 1\n"})
    poison(repo, evil)
    (tmp_path / "canary").unlink(missing_ok=True)  # git itself ran it while it was planted
    assert gitlook.top_level(repo) == repo and gitlook.branch(repo) == "main"
    assert gitlook.committed(repo, "main") == "x = 1"
    for words in (("ls-files", "--error-unmatch", "--", "andon.toml"), ("rev-parse", "HEAD")):
        gitlook.git(repo, *words)
    assert not (tmp_path / "canary").exists(), (tmp_path / "canary").read_text()


@pytest.mark.parametrize("words", [("ls-files", "-m"), ("rev-parse", "HEAD")])
def test_the_poison_would_run_without_the_settings(tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "evil.sh"
    evil.write_text(f'#!/bin/sh\necho ran >> {tmp_path}/canary\n')
    evil.chmod(0o755)
    repo = gitkit.make_repo(tmp_path / "repo")
    gitkit.run(repo, "config", "core.fsmonitor", str(evil))
    monkeypatch.setattr(gitlook, "_NOTHING_RUNS", ())
    gitlook.git(repo, *words)
    assert (tmp_path / "canary").exists() == (words[0] == "ls-files")
