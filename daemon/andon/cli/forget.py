"""`andon forget`: takes a secret that got stored out of what the factory keeps and shows. Never prints it, nor any part of it."""

import argparse
import sys
from pathlib import Path

import msgspec

from andon.cli import codes, out, reach
from andon.forgetting import MOST, Outcome, forget
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.sentences import plural

EXAMPLES = """\
examples:
  andon forget                    asks for the secret; what you type is not shown
  andon forget --file key.txt     the secret is the content of a file
  pass show shop | andon forget   or comes by standard input

From then on no screen, answer, log or export shows it. Blobs that hold it are replaced by tombstones of the same name; in files of
sessions and logs it is overwritten. It stays in events of the ledger, which cannot be edited, in what git holds, and wherever it
was sent: make a new secret in its place. Works with the daemon up or down.
Exit code 1: it was found nowhere; it is withheld all the same.
"""
SHOWN = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where the secret comes from. One on the command line is refused without being repeated."""
    parser.add_argument("--file", metavar="PATH", default="", help="read it from this file, without its last newline")
    parser.add_argument("--json", action="store_true", help="what became of it as one JSON object")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Forget it, and tell what could not be."""
    if args.words:
        raise Mistake("A secret on a command line stands in your shell's history and in the list of processes.",
                      mend="`andon forget` alone asks for it; take that line out of your history")
    done = forget(reach.place(), _value(args.file))
    if args.json:
        print(plain_json(msgspec.json.encode(done)))
    else:
        _tell(done)
    return codes.OK if done.found else codes.NOT_SO


def _value(file: str) -> bytes:
    """The secret, from a file, a person or a pipe."""
    if file:
        try:
            with Path(file).open("rb") as opened:
                return opened.read(MOST + 2)
        except OSError as error:
            raise Mistake(f"the file cannot be read: {error.strerror}", where=out.clean(file)) from error
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("the secret (not shown): ").encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read(MOST + 2)


def _tell(done: Outcome) -> None:
    print("it is withheld from now on, in every view, answer, log and export of this factory")
    if not done.found:
        print("it was found nowhere in what the factory keeps")
        return
    if done.blobs:
        print(f"taken away: {plural(len(done.blobs), 'blob')} (logs, reports, diffs, screens); a tombstone keeps each name")
    for name in done.blobs[:SHOWN]:
        print(f"  {name[:12]}")
    if done.files:
        print(f"overwritten: in {plural(len(done.files), 'file')} of sessions and logs")
    for name in done.files[:SHOWN]:
        print(f"  {out.clean(name)}")
    for name in done.left[:SHOWN]:
        print(f"not looked through or not changed: {out.clean(name)}")
    if done.events:
        numbers = ", ".join(map(str, done.events[:SHOWN])) + (" …" if len(done.events) > SHOWN else "")
        print(f"stays: {plural(len(done.events), 'event')} of the ledger ({numbers}): they are chained and cannot be edited")
    if done.snapshots:
        print(f"stays: {plural(done.snapshots, 'snapshot')} of the state, made from those events")
    print("not looked at: checkouts and git (branches, commits, snapshots of work). Make a new secret in its place.")
