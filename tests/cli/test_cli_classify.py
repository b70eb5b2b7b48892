"""`andon classify`: any commit, range, diff or checkout, offline; the policy of the target, never that of the change."""

import json
from pathlib import Path

import pytest

from clikit import Caps, andon
from gitkit import commit, make_repo, run


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    made = make_repo(
        tmp_path / "shop",
        {
            "andon.toml": '[checks.tests]\nrun = "pytest"\n[policy]\nship = ["docs/**", "notes/**"]\n',
            "docs/a.md": "words\n",
            "src/a.py": "x = 1\n",
        },
    )
    monkeypatch.chdir(made)
    return made


def test_a_commit_a_range_and_a_checkout_are_classified_without_a_daemon(repo: Path, capsys: Caps) -> None:
    commit(repo, {"docs/a.md": "other words\n"}, "Words")
    ran = andon(capsys, "classify", "HEAD")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "ship: every changed path is under [policy] ship")
    commit(repo, {"src/a.py": "x = 2\n"}, "Code")
    assert andon(capsys, "classify", "HEAD").out.startswith("review: src/a.py is not under [policy] ship")
    assert andon(capsys, "classify", "HEAD~2..HEAD~1").out.startswith("ship")
    (repo / "docs" / "conf.py").write_text("import jwt\n")
    ran = andon(capsys, "classify", "--worktree")
    assert ran.out.startswith("stop: docs/conf.py:1") and "jwt" in ran.out
    assert run(repo, "status", "--porcelain") == "?? docs/conf.py", "looking changes nothing"
    assert not (repo / ".git" / "andon").exists()


def test_the_first_commit_of_a_repository_can_be_classified(repo: Path, capsys: Caps) -> None:
    assert "andon.toml" in andon(capsys, "classify", "HEAD").out


def test_every_rule_is_told_with_its_place_as_json_too(repo: Path, capsys: Caps) -> None:
    commit(repo, {"docs/a.md": "w\n", "requirements.txt": "left==1\n", ".github/CODEOWNERS": "* @a\n"}, "Docs")
    (known,) = json.loads(andon(capsys, "classify", "HEAD", "--json").out)
    assert known["risk"] == "stop"
    assert {(one["rule"], one["path"], one.get("line", 0)) for one in known["findings"]} >= {
        ("dependency-new", "requirements.txt", 1),
        ("unmatched", ".github/CODEOWNERS", 0),
    }
    commit(repo, {"docs/a.md": "v\n"}, "Docs")
    (known,) = json.loads(andon(capsys, "classify", "HEAD", "--json").out)
    assert known["reviewers"] == ["@a"]


def test_a_change_that_loosens_the_policy_is_judged_by_the_policy_that_it_loosens(repo: Path, capsys: Caps) -> None:
    run(repo, "checkout", "-qb", "work")
    commit(repo, {"andon.toml": '[policy]\nship = ["**"]\nstop = []\n', "src/a.py": "x = 3\n"}, "Tidy")
    ran = andon(capsys, "classify", "main..work")
    assert ran.out.startswith("stop: ") and "removes check tests" in ran.out and "[policy] ship gains **" in ran.out


def test_a_diff_alone_is_classified_and_says_that_less_is_known(repo: Path, capsys: Caps, tmp_path: Path) -> None:
    commit(repo, {"docs/a.md": "more\n"}, "Words")
    (tmp_path / "a.diff").write_text(run(repo, "diff", "HEAD~1", "HEAD") + "\n")
    ran = andon(capsys, "classify", "--diff", str(tmp_path / "a.diff"))
    assert ran.code == 0 and ran.out.startswith("ship") and "less is known" in ran.err
    (tmp_path / "b.diff").write_text("no diff\n")
    ran = andon(capsys, "classify", "--diff", str(tmp_path / "b.diff"))
    assert ran.code == 2 and "no diff of git" in ran.err


def test_a_hook_or_a_pipeline_can_refuse_by_exit_code(repo: Path, capsys: Caps) -> None:
    commit(repo, {"src/a.py": "x = 5\n"}, "Code")
    assert andon(capsys, "classify", "HEAD", "--fail-on", "stop").code == 0
    assert andon(capsys, "classify", "HEAD", "--fail-on", "review").code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nonsense",), "git knows no commit `nonsense`"),
        (("T9",), "git knows no commit `T9`"),
        (("--diff", "gone.diff"), "cannot be read"),
        (("HEAD", "--worktree"), "only one of"),
        (("--upload-pack=x..HEAD",), ""),
        (("HEAD", "--repo", "/"), "no git repository"),
    ],
)
def test_what_cannot_be_classified_says_why(repo: Path, capsys: Caps, words: tuple[str, ...], told: str) -> None:
    ran = andon(capsys, "classify", *words)
    assert ran.code == 2 and told in ran.err
