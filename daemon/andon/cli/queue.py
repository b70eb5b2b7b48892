"""`andon queue`: the merge queue. Says what each part of it is called; the parts are modules of their own."""

import argparse
import importlib

EXAMPLES = """\
examples:
  andon queue                              every queue: entries, what is proved now, why each waits, figures
  andon queue shop --json                  one repository's, as a JSON array of queue and entry views
  andon queue move T7 --before T3          T7 goes directly before T3
  andon queue next T7                      T7 is to land next
  andon queue hold T7 --because "after the release"      also while it is still being built
  andon queue release T7
  andon queue drop T7 --because "use the new parser"     back to its agent with these words
  andon queue stop shop --because "release day"          nothing lands in shop; agents and proofs of lines go on
  andon queue resume shop
  andon queue mended shop tests/test_net.py::test_slow   its failure counts again
  andon queue clashes                      which live changes will collide, and where
  andon queue simulate --slots 4           what each policy would have done with this history (also: andon queue --simulate)

`andon queue PART --help` explains a part. A repository with the name of a part: andon queue show NAME.
To take back what has landed: andon revert. To take your own checkout forward: andon forward.
"""
PARTS = {
    "show": "queue_show", "move": "queue_deeds", "next": "queue_deeds", "hold": "queue_deeds", "release": "queue_deeds",
    "drop": "queue_deeds", "stop": "queue_deeds", "resume": "queue_deeds", "mended": "queue_deeds", "clashes": "queue_clashes",
    "simulate": "queue_simulate",
}
"""Each part and the module that carries it out."""


def completed(words: list[str]) -> list[str]:
    """The words as `argparse` takes them: `andon queue REPO` is short for `andon queue show REPO`."""
    if "--simulate" in words:
        words = ["simulate", *(word for word in words if word != "--simulate")]
    if words and (words[0] in PARTS or words[0] in ("-h", "--help")):
        return words
    return ["show", *words]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The parts."""
    sub = parser.add_subparsers(dest="what", metavar="[REPO]|PART", title="parts")
    show = sub.add_parser("show", help="entries, what is proved now, figures (what `andon queue` does)")
    _repo(show, "all")
    _json(show, "a JSON array of queue and entry views, entries in their order")
    move = sub.add_parser("move", help="put a change directly before another")
    move.add_argument("task", help="a change in the queue, like T7")
    move.add_argument("--before", metavar="TASK", required=True, help="the change that it goes before")
    _because(move)
    first = sub.add_parser("next", help="let a change land next")
    first.add_argument("task", help="a change in the queue, like T7")
    _because(first)
    hold = sub.add_parser("hold", help="a change does not land until released")
    hold.add_argument("task", nargs="+", help="tasks, like T7; also while they are still being built")
    _because(hold)
    release = sub.add_parser("release", help="it may land again")
    release.add_argument("task", nargs="+", help="tasks, like T7")
    drop = sub.add_parser("drop", help="take a change out: back to its agent, or given up")
    drop.add_argument("task", help="a change in the queue, like T7")
    drop.add_argument("--because", required=True, help="what should be different: its agent is told")
    drop.add_argument("--cancel", action="store_true", help="give it up instead; its work is kept")
    _whole(sub)
    _looks(sub)
    parser.set_defaults(what="show", repo="", json=False)


def _whole(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The parts that are about a whole queue."""
    stop = sub.add_parser("stop", help="nothing lands in a repository until told")
    _repo(stop, "the one you stand in")
    stop.add_argument("--because", required=True, help="why: everybody who looks at the queue reads it")
    resume = sub.add_parser("resume", help="land again")
    _repo(resume, "the one you stand in")
    mended = sub.add_parser("mended", help="failures of these tests count again")
    mended.add_argument("repo", metavar="REPO", help="a repository: id or path")
    mended.add_argument("test", nargs="+", help="tests as `andon queue` lists them under flaky")


def _looks(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The parts that only look."""
    clashes = sub.add_parser("clashes", help="which live changes will collide, and where")
    clashes.add_argument("of", nargs="?", default="", metavar="TASK|REPO", help="only clashes of this task or repository")
    _json(clashes, "a JSON array of clash views")
    simulate = sub.add_parser("simulate", help="what each policy would have done with the repository's own history")
    _repo(simulate, "the one you stand in")
    simulate.add_argument("--slots", metavar="N", type=int, default=0,
                          help="proofs at once (default: as many as the queue has now)")
    simulate.add_argument("--seed", metavar="N", type=int, default=1, help="the same number gives the same answer (default: 1)")
    _json(simulate, "a JSON array with one object a policy, ours first")


def run(args: argparse.Namespace) -> int:
    """Carry the part out."""
    code: int = importlib.import_module(f"andon.cli.{PARTS[args.what]}").run(args)
    return code


def _repo(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument("repo", nargs="?", default="", metavar="REPO", help=f"a repository: id or path (default: {otherwise})")


def _because(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--because", default="", help="why, for the record")


def _json(parser: argparse.ArgumentParser, told: str) -> None:
    parser.add_argument("--json", action="store_true", help=told)
