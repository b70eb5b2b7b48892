"""What every git of the daemon is started with, setting by setting: a git that lost one of them would obey somebody else."""

import ast
import asyncio
import contextlib
import os
import re
from pathlib import Path

import pytest

import gitkit
from andon.edges import git as module
from andon.edges.git import FETCH, GitFailed, environ, git, make_git_dir
from andon.schema.errors import Mistake

ROOMS = Path(__file__).resolve().parents[2]
BOTH = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "gc.auto": "0", "maintenance.auto": "false",
    "rerere.enabled": "false", "protocol.ext.allow": "never", "submodule.recurse": "false",
    "merge.autoStash": "false", "core.quotePath": "false",
    "core.fsync": "committed,loose-object,reference", "core.fsyncMethod": "batch", "core.packedRefsTimeout": "20000",
    "core.filesRefLockTimeout": "5000", "advice.detachedHead": "false",
}
STRICT = {
    "safe.bareRepository": "explicit", "fetch.fsckObjects": "true", "transfer.fsckObjects": "true", "protocol.allow": "never",
    "protocol.file.allow": "always", "diff.external": "", "core.untrackedCache": "false", "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null", "core.trustctime": "true", "core.checkStat": "default", "core.alternateRefsCommand": "true",
    "checkout.workers": "1", "fetch.writeCommitGraph": "false", "fetch.recurseSubmodules": "false", "merge.renames": "true",
    "merge.directoryRenames": "conflict", "diff.renames": "true", "core.logAllRefUpdates": "true",
}
ENV = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_EDITOR": ":", "GIT_PAGER": "cat",
       "GIT_ASKPASS": "false", "SSH_ASKPASS": "false", "GIT_ALLOW_PROTOCOL": "file", "LC_ALL": "C"}
STRICT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_AUTHOR_NAME": "Andon", "GIT_AUTHOR_EMAIL": "andon@localhost", "GIT_COMMITTER_NAME": "Andon",
    "GIT_COMMITTER_EMAIL": "andon@localhost",
}


def settings(env: dict[str, str]) -> dict[str, str]:
    """What an environment configures; the last word counts."""
    return {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}


def rest(env: dict[str, str]) -> dict[str, str]:
    """The variables beside the configuration."""
    return {key: value for key, value in env.items() if not re.match("GIT_CONFIG_(COUNT|KEY|VALUE)", key)}


def test_a_git_of_ours_has_exactly_these_settings_and_knows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/evil")
    monkeypatch.setenv("SECRET_KEY", "x")
    env = environ()
    assert settings(env) == BOTH | STRICT
    assert rest(env) == ENV | STRICT_ENV | {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}


def test_a_git_in_the_persons_checkout_keeps_their_settings_and_none_of_their_gits_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_CONFIG_PARAMETERS", "GIT_EXEC_PATH"):
        monkeypatch.setenv(name, "/evil")
    env = environ(trusted=True)
    assert settings(env) == BOTH
    ours = {key for key in ENV if key.startswith("GIT_")} | {"GIT_CONFIG_NOSYSTEM"}
    assert {key for key in rest(env) if key.startswith("GIT_")} == ours
    assert {key: rest(env)[key] for key in ENV} == ENV and env["HOME"] == os.environ["HOME"]


def test_a_setting_of_one_call_comes_last_and_counts() -> None:
    assert settings(environ(config=(("core.hooksPath", "/x"),)))["core.hooksPath"] == "/x"


def test_a_fetch_brings_what_is_named_and_changes_nothing_else() -> None:
    assert FETCH == ("fetch", "-q", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules",
                     "--no-auto-maintenance")


async def test_a_bad_exit_is_an_error_and_endless_or_stuck_ones_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = gitkit.make_repo(tmp_path / "repo", {"a.txt": "words\n" * 2000})
    with pytest.raises(GitFailed):
        await git("rev-parse", "--verify", "nothing", cwd=repo)
    shown = await git("show", "HEAD:a.txt", cwd=repo, limit=100)
    assert shown.truncated and len(shown.out) == 100
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    async with asyncio.timeout(10):
        with pytest.raises(Mistake, match="took longer"):
            await git("status", cwd=repo, seconds=0.2)


def test_a_git_directory_of_ours_holds_nothing_that_runs(tmp_path: Path) -> None:
    repo = gitkit.make_repo(tmp_path / "repo")
    make_git_dir(tmp_path / "made", objects=(repo / ".git/objects",), like=repo / ".git")
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"HEAD", "config", "info", "objects", "refs"}
    told = (tmp_path / "made/config").read_text()
    assert set(re.findall(r"\[(\w+)", told)) == {"core"} and len(told.splitlines()) == 4


# --- every call ----------------------------------------------------------------------------------------------------------------

STARTERS = {"create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell", "spawn", "run", "Popen",
            "call", "check_call", "check_output", "execv", "execve", "execvp", "execvpe", "posix_spawn", "posix_spawnp",
            "system", "popen"}
BESIDE = {
    "daemon/andon/edges/attacks.py": "plays on a stage of its own, in repositories made for that",
    "daemon/andon/edges/attempts.py": "plays the agent, inside the walls",
    "daemon/andon/cli/agent.py": "runs as the agent, inside its walls",
    "agents/andon_agents/verbs_server.py": "runs as the agent, inside its walls",
    "agents/andon_agents/conformance.py": "tries an adapter, in a repository made for that",
    "daemon/andon/cli/gitlook.py": "asks in the folder where the person stands, as the person's own git would",
    "daemon/andon/cli/demo.py": "the demo's own repository, made a moment before",
    "daemon/andon/cli/demo_recheck.py": "a fresh clone of that",
    "daemon/andon/cli/audit.py": "hardened as the verifier's own, over objects that it hashes itself",
    "daemon/andon/thirdparty": "given away: hardened by itself, in an empty directory that borrows the objects",
    "daemon/andon/edges/facts/manifests.py": "a word of a table: where a dependency comes from",
    "daemon/andon/proofs/package.py": "runs inside a check's walls, on the check's own checkout",
    "agents/andon_agents/acting": "the scripted agent, inside its walls",
    "agents/andon_agents/demo": "the demo's own content",
}
"""Where a program is called git beside the hardened door, and why no agent has a say in it."""
RUNNER = "daemon/andon/edges/git.py"


def starts_git(tree: ast.AST) -> list[int]:
    """Lines where a program may be started that is git by its name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if name in STARTERS and any(re.match(r"(/\S*/)?git(-\w+)?(\s|$)", one) for one in words):
                found.append(node.lineno)
    return found


def names_git(tree: ast.AST) -> list[int]:
    """Lines where a list of words begins with git: an argv in the making."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Tuple | ast.List) and node.elts
            and isinstance(node.elts[0], ast.Constant) and node.elts[0].value == "git"]


def sources() -> list[Path]:
    return [path for room in ("daemon/andon", "agents/andon_agents", "config/andon_config", "tui/andon_tui")
            for path in sorted((ROOMS / room).rglob("*.py")) if "/demo/pocket/" not in str(path)]


def test_every_git_goes_through_the_one_hardened_door() -> None:
    past = []
    for path in sources():
        tree, name = ast.parse(path.read_text()), str(path.relative_to(ROOMS))
        if name != RUNNER and not any(name.startswith(one) for one in BESIDE) and (lines := starts_git(tree) + names_git(tree)):
            past.append(f"{name}: {sorted(set(lines))}")
    assert past == [], "start git through andon.edges.git"
    assert [one for one in BESIDE if not (ROOMS / one).exists()] == []


def test_the_search_sees_a_git_past_the_door() -> None:
    for code in ('subprocess.run(["git", "status"])', 'spawn("git", "x")', 'os.system("git gc")', 'x = ("git", "log")\nspawn(*x)',
                 'Popen("/usr/bin/git fetch", shell=True)'):
        tree = ast.parse(code)
        assert starts_git(tree) + names_git(tree), code
    tree = ast.parse('run(["gitlab"]); say("git", "is fine here")')
    assert starts_git(tree) == []


LOOSER = {("publish.py", "core.hookspath"): "a push runs the person's own pre-push hook and no other, where their settings say so"}
"""What loosens a setting on purpose."""


def strings(node: ast.AST) -> set[str]:
    """Every text within an expression."""
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def git_calls() -> list[tuple[str, ast.Call]]:
    """Every call of the door, with its file."""
    users = [path for path in sources() if path.name != "git.py"
             and re.search(r"from andon\.edges\.git import|from andon\.edges import .*\bgit\b", path.read_text())]
    return [(path.name, node) for path in users for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("git", "look")]


def test_no_call_undoes_what_hardens() -> None:
    """`env=` may add variables of ours and `config=` settings of ours, never others in the place of those."""
    who = {"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"}
    variables, hard = {*ENV, *STRICT_ENV} - who, {key.lower() for key in BOTH | STRICT}
    found = set()
    for name, call in git_calls():
        for word in call.keywords:
            told = strings(word.value)
            if word.arg == "env":
                found |= {(name, one) for one in told & variables}
            elif word.arg == "config":
                found |= {(name, one.lower()) for one in told if one.lower() in hard}
        found |= {(name, "-c") for one in call.args if strings(one) & {"-c", "--exec-path", "--config-env"}}
    assert len(git_calls()) >= 80, len(git_calls())
    assert found == set(LOOSER)


async def test_the_door_tells_of_every_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "observe", seen.append)
    with contextlib.suppress(GitFailed):
        await git("--version")
    assert seen == [("git", "--version")]
