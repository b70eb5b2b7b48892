"""Hands landed work on to a remote of the person's, as they would by hand; must never push by force, nor anything but one branch.

Theory of operation. A push runs in the person's checkout with their configuration, credentials and hooks, and names exactly one
commit and one branch; the remote may refuse it, and then nothing more is tried. A pull request is opened by gh or glab, which
know the person's account; without one of them nothing is pushed.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

from andon.edges.git import git
from andon.edges.spawn import spawn
from andon.schema.clean import clean
from andon.schema.effects import PublishTarget
from andon.schema.errors import Mistake
from andon.schema.faults import point
from andon.schema.inputs import PublishSeen

PUSH_S, TOOL_S = 300.0, 120.0
"""Wall-clock limits of a push and of gh or glab."""
TAIL = 64 * 1024
_NETWORK = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
_SSH = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT")
_BEHIND = ("[rejected] (fetch first)", "[rejected] (non-fast-forward)")
_QUIET = {
    "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_PROMPT": "1", "GLAB_CHECK_UPDATE": "false", "NO_COLOR": "1",
    "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": ":", "EDITOR": ":", "VISUAL": ":", "BROWSER": "true",
}


class _Refused(Mistake):
    """It was not done, and this is why."""

    def __init__(self, what: str) -> None:
        super().__init__(what, where="publish", mend="See [queue] in andon.toml.")


async def publish_target(effect: PublishTarget) -> PublishSeen:
    """Push trunk to the remote's branch, or open a pull request for it; what could not be done says why. Never by force."""
    try:
        if effect.how == "push":
            await _push(effect, f"refs/heads/{effect.target}")
            where = f"{effect.remote}/{effect.target}"
        elif effect.how == "pr":
            where = await _request(effect)
        else:
            raise _Refused("nothing says how to publish: the remote was not contacted")
    except Mistake as error:
        return PublishSeen(repo=effect.repo, oid=effect.oid, done=False, because=error.problem.what[:1000])
    return PublishSeen(repo=effect.repo, oid=effect.oid, done=True, where=where)


# --- pushing ---------------------------------------------------------------------------------------------------------


async def _push(effect: PublishTarget, ref: str) -> None:
    hooks = await _hooks(effect)
    point("publish-target.push")
    args = ("push", "--porcelain", "--no-follow-tags", "--no-recurse-submodules", "--", effect.remote, f"{effect.oid}:{ref}")
    done = await git(*args, cwd=effect.path, trusted=True, check=False, seconds=PUSH_S,
                     env=_NETWORK | {key: os.environ[key] for key in _SSH if key in os.environ},
                     config=(("core.hooksPath", hooks),))
    if done.code == 0:
        return
    refused = re.search(r"^!\t\S+\t(.+)$", done.text, re.M)
    told = [line for line in done.err.splitlines() if line.startswith(("fatal:", "error:", "remote:"))]
    what = refused[1] if refused else told[0] if told else done.err.strip()[-300:] or f"exit code {done.code}"
    why = "it has commits that trunk lacks" if what in _BEHIND else what
    raise _Refused(f"{effect.remote} did not take {ref.removeprefix('refs/heads/')}: {why}")


async def _hooks(effect: PublishTarget) -> str:
    """Where the person's own hooks lie: a push of theirs would run them (git-lfs sends its files from one)."""
    told = await git("config", "--show-scope", "--get-all", "core.hooksPath", cwd=effect.path, trusted=True, check=False)
    own = [value for scope, _, value in (line.partition("\t") for line in told.text.splitlines()) if scope != "command"]
    return own[-1] if own else str(Path(effect.git_dir) / "hooks")


# --- pull requests ---------------------------------------------------------------------------------------------------


async def _request(effect: PublishTarget) -> str:
    """Push a branch of its own and open a request from it to the target; its address. One that is open already is that one."""
    tool = await _tool(effect)
    branch = f"andon/{effect.target}-{effect.oid[:12]}"
    await _push(effect, f"refs/heads/{branch}")
    point("publish-target.pushed")
    title, body = " ".join(clean(effect.title).split()) or f"Landed work for {effect.target}", clean(effect.body)
    words: tuple[str, ...]
    if Path(tool).name == "gh":
        words = ("pr", "create", "--base", effect.target, "--head", branch, "--title", title, "--body", body)
    else:
        words = ("mr", "create", "--target-branch", effect.target, "--source-branch", branch, "--title", title, "--description",
                 body or title, "--yes")
    code, out = await _run((tool, *words), effect.path)
    found = re.findall(r"https?://\S+", out)
    if code == 0 or "already exists" in out:
        return found[-1] if found else branch
    raise _Refused(f"{Path(tool).name} did not open a request for {branch}: {_last(out) or f'exit code {code}'}")


async def _tool(effect: PublishTarget) -> str:
    """gh or glab, whichever speaks to this remote; where the address does not tell, the one that is installed."""
    asked = await git("remote", "get-url", "--push", "--", effect.remote, cwd=effect.path, trusted=True, check=False)
    if asked.code != 0:
        raise _Refused(f"there is no remote {effect.remote}")
    order = ("glab", "gh") if "gitlab" in asked.text.lower() else ("gh", "glab")
    found = [tool for name in order if (tool := shutil.which(name))]
    if not found:
        raise _Refused("neither gh nor glab is installed: nothing was pushed")
    return found[0]


async def _run(argv: tuple[str, ...], place: str) -> tuple[int, str]:
    """Run one of the person's tools in their checkout, in their environment; its exit code and the end of what it said."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | _QUIET
    with tempfile.TemporaryFile() as log:
        process = await spawn(*argv, cwd=place, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                              start_new_session=True)
        try:
            async with asyncio.timeout(TOOL_S):
                code = await process.wait()
        except TimeoutError:
            raise _Refused(f"{Path(argv[0]).name} took longer than {TOOL_S:.0f} s and was ended") from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
        return code, log.read().decode(errors="replace")


def _last(out: str) -> str:
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
