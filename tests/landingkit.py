"""Changes, candidates and landings for tests of the merge queue's edges."""

from pathlib import Path

import gitkit
from andon.edges import landing
from andon.schema.effects import MergeCandidate
from andon.schema.inputs import CandidateConflicted, CandidateMerged, TargetSwapped
from checkoutkit import Floor
from gitkit import run


def change(shop: Floor, files: dict[str, str | None], name: str = "task", onto: str = "", message: str = "") -> str:
    """A commit on a branch of its own; the person's checkout is as before."""
    run(shop.person, "checkout", "-q", "-B", name, onto or shop.base)
    oid = gitkit.commit(shop.person, files, message or f"Work of {name}")
    run(shop.person, "checkout", "-q", "main")
    return oid


async def merged(effect: MergeCandidate) -> CandidateMerged:
    """The candidate that an effect makes."""
    done = await landing.merge_candidate(effect)
    assert isinstance(done, CandidateMerged), done
    return done


async def clashed(effect: MergeCandidate) -> CandidateConflicted:
    """The conflict that an effect finds."""
    done = await landing.merge_candidate(effect)
    assert isinstance(done, CandidateConflicted), done
    return done


async def land(shop: Floor, *commits: str, old: str = "", name: str = "L1", how: str = "merge", green: bool = False) -> str:
    """Land changes; where trunk is then."""
    effect = shop.merge(*commits, onto=old, landing=name, how=how, green=green)
    swapped = await landing.move_target(shop.move(effect, done := await merged(effect)))
    assert isinstance(swapped, TargetSwapped), swapped
    return done.candidate


def files_of(path: Path) -> dict[str, bytes]:
    """Every file of a checkout."""
    files = (file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def files_in(path: Path, commit: str) -> dict[str, str]:
    """Every text file of a commit."""
    return {name: run(path, "show", f"{commit}:{name}") for name in run(path, "ls-tree", "-r", "--name-only", commit).splitlines()}
