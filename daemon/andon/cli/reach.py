"""What verbs share: the factory's place, its views, and finding what a person named. Prints nothing."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from andon.client import Client, connect
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.layout import Layout, layout
from andon.schema.views import AnyView, GateView, LineView, RepositoryView, SessionView, TaskView

V = TypeVar("V", bound=AnyView)


def place() -> Layout:
    """The factory of this person."""
    return layout()


def daemon(*, start: bool = False) -> Client:
    """A connection to its daemon. DaemonDown when there is none and `start` does not ask to start it."""
    return connect(place(), start)


def of(kind: type[V], views: Iterable[AnyView]) -> list[V]:
    """The views of one kind, in the order of the feed."""
    return [view for view in views if isinstance(view, kind)]


def task_id(text: str) -> TaskId:
    """`T7` from `T7`, `t7` or `7`. Mistake for anything else."""
    found = re.fullmatch(r"[Tt]?([1-9]\d{0,8})", text.strip())
    if not found:
        raise Mistake(f"`{text}` is no task", mend="a task is named like T3; `andon list` shows them")
    return TaskId(f"T{found[1]}")


def attempt_id(text: str) -> AttemptId | None:
    """`T7.2` from `T7.2` or `t7.2`; None when it does not name an attempt."""
    found = re.fullmatch(r"[Tt]?([1-9]\d{0,8})\.([1-9]\d{0,8})", text.strip())
    return AttemptId(f"T{found[1]}.{found[2]}") if found else None


def the_task(views: Sequence[AnyView], text: str) -> TaskView:
    """The task that a person named. Mistake when there is none."""
    wanted = task_id(text)
    for view in of(TaskView, views):
        if view.task == wanted:
            return view
    raise Mistake(f"there is no task {wanted} on the board",
                  mend=f"`andon list --all` shows all that are; `andon show {wanted}` finds one that was over long ago")


def the_gate(views: Sequence[AnyView], text: str) -> GateView:
    """The open gate that a person named by its own id or by its task's. Mistake when there is none."""
    gates = of(GateView, views)
    wanted = text.strip().upper()
    for gate in gates:
        if gate.gate == wanted:
            return gate
    if not re.fullmatch(r"G\d+", wanted):
        task = the_task(views, text)
        for gate in gates:
            if gate.task == task.task:
                return gate
        raise Mistake(f"{task.task} has no open gate: it is {task.state}", mend="`andon gate ls` lists the open ones")
    raise Mistake(f"there is no open gate {wanted}", mend="`andon gate ls` lists the open ones; it may have been answered already")


def the_session(views: Sequence[AnyView], text: str) -> SessionView:
    """The live session of a task or an attempt. Mistake when there is none."""
    attempt = attempt_id(text)
    wanted = attempt or task_id(text)
    live = [view for view in of(SessionView, views) if wanted in (view.attempt, view.task)]
    if live:
        return live[-1]
    task = the_task(views, str(wanted).partition(".")[0])
    raise Mistake(f"{wanted} has no live session: {task.task} is {task.state}", mend=f"`andon show {task.task}` shows its attempts")


def the_repository(views: Sequence[AnyView], text: str = "", here: Path | None = None) -> RepositoryView:
    """The registered repository that is named (id or path), or the one around `here`. Mistake that names `andon init`."""
    repos = of(RepositoryView, views)
    if text:
        path = Path(text).expanduser()
        for repo in repos:
            if repo.repo == text or (path.exists() and os.path.realpath(path) == os.path.realpath(repo.path)):
                return repo
        near = difflib.get_close_matches(text, [repo.repo for repo in repos], n=1, cutoff=0.5)
        mend = f"did you mean `{near[0]}`?" if near else "`andon status` lists the registered ones; `andon init` registers one"
        raise Mistake(f"there is no repository `{text}` in this factory", mend=mend)
    start = here or Path.cwd()
    found = _around(start, {os.path.realpath(repo.path): repo for repo in repos})
    if found is None:
        raise Mistake("this directory belongs to no repository of the factory", where=str(start),
                      mend="run `andon init` in the repository, or name one with --repo")
    return found


def _around(start: Path, repos: dict[str, RepositoryView]) -> RepositoryView | None:
    """The repository of the nearest git checkout at or above `start`; a linked worktree belongs to its main checkout."""
    resolved = start.resolve()
    for folder in (resolved, *resolved.parents):
        if str(folder) in repos:
            return repos[str(folder)]
        mark = folder / ".git"
        if mark.is_file():
            return repos.get(os.path.realpath(_main_checkout(mark)))
        if mark.is_dir():
            return None
    return None


def _main_checkout(mark: Path) -> Path:
    """The main checkout of a linked worktree, from its `.git` file: `gitdir: MAIN/.git/worktrees/NAME`."""
    named = mark.read_text(errors="replace").partition("gitdir:")[2].strip()
    return (mark.parent / named).parent.parent.parent


def the_line(views: Sequence[AnyView], text: str, repo: str = "") -> LineView:
    """The line that is named: `NAME`, or `REPO/NAME`. Without a repository: the one you stand in, or the only one that has it."""
    owner, slash, name = text.rpartition("/")
    lines = [view for view in of(LineView, views) if view.line == (name if slash else text)]
    wanted = owner or repo
    if not wanted and len(lines) > 1:
        wanted = str(the_repository(views).repo)
    fitting = [view for view in lines if not wanted or view.repo == wanted]
    if fitting:
        return fitting[0]
    known = ", ".join(f"{view.repo}/{view.line}" for view in of(LineView, views))
    raise Mistake(f"there is no line `{text}`{f' in {wanted}' if wanted else ''}",
                  mend=f"the lines are: {known}" if known else "register a repository with `andon init`")
