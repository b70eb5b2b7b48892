"""`andon show TASK --claim NAME`: what one claim rests on, its files, and the command that runs it again."""

import argparse

from andon.cli import codes, out
from andon.client import Client
from andon.schema import wire
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.evidence_views import Evidence, sized
from andon.schema.ids import TaskId
from andon.schema.sentences import plural

NAMES_SHOWN = 20


def run(client: Client, args: argparse.Namespace, task: TaskId) -> int:
    """Print the evidence; with `--file` only that file of it."""
    reply = client.ask(wire.GetEvidence(task=task, claim=args.claim or ""))
    if not isinstance(reply, wire.EvidenceIs):
        raise Mistake(f"the daemon has no evidence of {task}", mend=f"`andon show {task}` lists its claims")
    if args.file:
        return _file(client, reply.evidence, args.file)
    if args.json:
        import msgspec

        print(plain_json(msgspec.json.encode(reply.evidence)))
        return codes.OK
    tell(reply.evidence)
    return codes.OK


def _file(client: Client, told: Evidence, name: str) -> int:
    """One file of the evidence, as text."""
    found = next((file for file in told.files if file.name == name), None)
    if found is None:
        known = ", ".join(file.name for file in told.files) or "it has none"
        raise Mistake(f"{told.claim} of {told.task} has no file {name!r}", mend=f"its files: {known}")
    reply = client.ask(wire.GetBlob(digest=found.digest))
    if isinstance(reply, wire.BlobIs):
        print(out.clean_lines(reply.text).removesuffix("\n"))
        if reply.truncated:
            out.say("andon: the file is longer than what is shown")
    return codes.OK


def tell(told: Evidence) -> None:
    """The evidence for people."""
    print(out.paint(f"{told.task}  {out.clean(told.claim)}  {out.clean(out.state_word(told.status))}", "bold"))
    for word, value in facts(told):
        if value:
            print(f"  {word:<12} {out.clean(value)}")
    for head, names in (("failing tests", told.failing), ("lost tests, which pass on the base", told.lost)):
        if names:
            print(out.paint(f"\n{head}", "bold"))
            for name in names[:NAMES_SHOWN]:
                print(f"  {out.clean(name)}")
            if len(names) > NAMES_SHOWN:
                print(f"  … {plural(len(names) - NAMES_SHOWN, 'more name')} (--json has all)")
    if told.files:
        print(out.paint(f"\nfiles, each opened by --claim {out.clean(told.claim)} --file NAME", "bold"))
        rows = [(file.name, sized(file.size), f"sha256:{file.digest}") for file in told.files]
        out.table(rows, ("NAME", "SIZE", "DIGEST"), indent="  ")
    if told.environment:
        print(out.paint("\nenvironment", "bold"))
        for key, value in told.environment:
            print(f"  {out.clean(key):<12} {out.clean(value)}")
    if told.again:
        print(out.paint("\nto run it again, in your shell", "bold"))
        print(f"  {out.clean_lines(told.again)}")
    for note in told.notes:
        print(f"  note: {out.clean(note)}")


def facts(told: Evidence) -> list[tuple[str, str]]:
    """What stands in lines of its own."""
    counted = [f"{count} {word}" for count, word in ((told.passed, "passed"), (told.failed, "failed"), (told.skipped, "skipped"))
               if count]
    took = f", took {told.milliseconds / 1000:.2f} s" if told.milliseconds is not None else ""
    return [
        ("because", told.because),
        ("subject", f"commit {told.commit}" if told.commit else ""), ("", f"tree {told.tree}" if told.tree else ""),
        ("statement", f"{told.kind} says {told.result}" if told.kind else ""),
        ("run", told.run), ("tests", ", ".join(counted)),
        ("when", f"{out.moment(told.at)}{took}" if told.at else ""),
        ("command", told.command), ("exit", "" if told.exit is None else str(told.exit)),
        ("definition", f"sha256:{told.definition}" if told.definition else ""),
        ("walls", f"{told.isolation or 'not known'}" + (f", asked for: {told.asked}" if told.asked else "") if told.run else ""),
        ("checkout", told.checkout),
        ("produced by", produced(told)),
    ]


def produced(told: Evidence) -> str:
    """By whom, and whether a key stands for it."""
    if not told.kind:
        return "the daemon" if not told.run else ""
    if not told.keys:
        return "the daemon's own run; not signed"
    return f"the daemon's own run; signed as {told.role} by {', '.join(told.keys)} (`andon verify` checks the signature)"
