"""Flaky tests in quarantine: named with their evidence, bounded, and out again after enough passes. Pure."""

from andon.core.state import Repository, State
from andon.schema import events as e, queue_views as v

WHO = "andon"


def advance(state: State, repo: Repository, at: int) -> list[e.Event]:
    """Let out what passed so often in a row, on other trees than those that it disagreed about."""
    needed = repo.settings.queue.flaky_passes
    quiet = tuple(flake.name for flake in repo.queue.flakes if needed and flake.passes >= needed)
    if not quiet:
        return []
    because = f"{needed} {'pass' if needed == 1 else 'passes'} in a row, on other trees than those it was seen flaking on"
    return [e.FlakeForgotten(repo=repo.repo, tests=quiet, by=WHO, because=because)]


def view(repo: Repository) -> tuple[v.QuarantineView, ...]:
    """Each with what was seen, in the order in which they were seen last."""
    queue, settings = repo.queue, repo.settings.queue
    room = len(queue.flakes) <= settings.flaky
    return tuple(
        v.QuarantineView(
            test=flake.name, check=flake.check, seen=flake.seen, since=flake.since, last=flake.at, runs=flake.runs,
            trees=flake.trees, passes=flake.passes, needed=settings.flaky_passes, excused=room,
        ) for flake in queue.flakes
    )
