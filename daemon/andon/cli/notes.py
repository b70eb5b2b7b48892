"""`andon notes`: what git notes say of a commit; write what lacks, find rewritten commits again, export for others."""

import argparse
from pathlib import Path

from andon.cli import codes, out, reach
from andon.client import Client
from andon.schema import wire
from andon.schema.clean import plain_json
from andon.schema.errors import Mistake
from andon.schema.notes import Attached, NoteRecord
from andon.schema.sentences import plural
from andon.schema.views import RepositoryView

EXAMPLES = """\
examples:
  andon notes show HEAD              whose change this commit is, by what that is known, and which copies of the record exist
  andon notes sync                   every landed change gets the notes that [provenance] notes names
  andon notes sync --remote origin   and refs/notes/andon is joined with that of the remote, never by force
  andon notes repair                 after squash, rebase, cherry-pick or amend: the newest commits of the target are looked through
  andon notes repair v1..HEAD        the commits of a range
  andon notes export --format agent-trace   one JSON record for each commit of each landed change (Agent Trace 0.1.0)

A landed change is written down three times: in the trailers of its commit, in a note, and in the ledger. A commit that could be
several changes gets no note, and is named. Exit code 1: `show` knows no change, or `repair` found a commit that could be several.
"""
DEEDS = ("show", "sync", "repair", "export")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which commits."""
    parser.add_argument("deed", choices=DEEDS, metavar="show|sync|repair|export", help="what to do")
    parser.add_argument("commit", metavar="COMMIT", nargs="?", default="",
                        help="a commit, or for repair and export a range (default: the target's newest)")
    parser.add_argument("--repo", metavar="REPO", default="", help="the repository (default: the one you stand in)")
    parser.add_argument("--limit", metavar="N", type=int, default=500, help="commits that are looked at, at most (default: 500)")
    parser.add_argument("--remote", metavar="NAME", default="", help="with sync: exchange our own notes with this remote")
    parser.add_argument("--format", metavar="FORMAT", choices=("agent-trace",), default="agent-trace", help="of an export")
    parser.add_argument("--json", action="store_true", help="the answer as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Ask the daemon and print what it found."""
    if args.deed == "show" and not args.commit:
        raise Mistake("show needs a commit", mend="andon notes show HEAD")
    with reach.daemon() as client:
        repo = reach.the_repository(client.views(), args.repo)
        commit = _resolved(repo, args.commit)
        reply = _ask(client, repo, args, commit)
    if args.deed == "export" and not args.json:
        for line in reply.lines:
            print(plain_json(line.encode()))
        for note in reply.notes:
            out.say(f"andon: {out.clean(note)}")
        return codes.OK
    if args.json:
        import msgspec

        print(plain_json(msgspec.json.encode(reply)))
    else:
        tell(reply, args.deed)
    vague = any(one.state == "ambiguous" for one in reply.found)
    unknown = args.deed == "show" and not any(one.tasks for one in reply.found)
    return codes.NOT_SO if vague or unknown else codes.OK


def _ask(client: Client, repo: RepositoryView, args: argparse.Namespace, commit: str) -> wire.NotesAre:
    reply = client.ask(wire.AskNotes(repo=repo.repo, do=args.deed, commit=commit, limit=args.limit, remote=args.remote))
    if not isinstance(reply, wire.NotesAre):
        raise Mistake("the daemon does not answer about notes", mend="`andon down` and `andon up` starts this version")
    return reply


def _resolved(repo: RepositoryView, name: str) -> str:
    """What a name or range means in the person's own checkout; as it is where git knows none."""
    from andon.cli.gitlook import git

    parts = name.split("..")
    if not name or len(parts) > 2:
        return name
    found = [git(Path(repo.path), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{part or 'HEAD'}^{{commit}}") or part
             for part in parts]
    return "..".join(found)


def tell(reply: wire.NotesAre, deed: str) -> None:
    """The answer for people."""
    if deed == "show":
        _one(reply)
    else:
        told = [one for one in reply.found if one.tasks]
        print(out.paint(f"{plural(reply.looked, 'change' if deed == 'sync' else 'commit')} looked at, "
                        f"{sum(bool(one.restored) for one in told)} got a note", "bold"))
        shown = [one for one in told if one.state != "present" or one.lacks]
        out.table([(one.commit[:12], one.state, ", ".join(one.tasks), one.by, words(one)) for one in shown],
                  ("COMMIT", "STATE", "CHANGE", "KNOWN BY", "WHAT WAS DONE, WHAT LACKS"), indent="  ")
    if reply.beyond:
        out.say(f"{reply.beyond} more were not looked at: --limit raises the bound")
    for note in reply.notes:
        out.say(out.clean(note))


def words(one: Attached) -> str:
    """What was restored from where, and which copies are not there."""
    lacks = f"no {', no '.join(one.lacks)}" if one.lacks else ""
    done = ", ".join(one.restored)
    return "; ".join(part for part in (done, lacks, one.subject) if part)


def _one(reply: wire.NotesAre) -> None:
    """One commit with its record."""
    for one in reply.found:
        whose = ", ".join(one.tasks) or "no change that is known"
        print(out.paint(out.clean(f"{one.commit[:12]} is {whose}" + (f", by its {one.by}" if one.by else "")), "bold"))
        if one.state == "ambiguous":
            print("  it could be any of these, so none is taken")
        copies = [copy for copy in ("trailer", "note", "store") if copy not in one.lacks] if one.tasks else []
        lacks = f" (no {', no '.join(one.lacks)})" if one.lacks else ""
        print(f"  {'copies':<10} {out.clean((', '.join(copies) or 'none') + lacks)}")
        print(f"  {'notes in':<10} {out.clean(', '.join(reply.refs) or 'no ref')}")
    for record in reply.records:
        print(out.paint(f"\n{out.clean(record.task)}  {out.clean(record.title)}", "bold"))
        for word, value in facts(record):
            if value:
                print(f"  {word:<10} {out.clean(value)}")


def facts(record: NoteRecord) -> list[tuple[str, str]]:
    """A record in lines."""
    effort, tools = record.effort, ", ".join(f"{name} {count}" for name, count in sorted(record.tools.items()))
    spent = f"{plural(effort.turns, 'turn')}, {effort.input_tokens} tokens in, {effort.output_tokens} out"
    kept = f"sha256:{record.transcript} ({record.transcript_bytes} bytes), in the store of its factory" if record.transcript else ""
    return [
        ("attempt", record.attempt), ("change", record.change), ("landed as", record.commit),
        ("landed", out.moment(record.at) if record.at else ""), ("agent", f"{record.agent} {record.model}".strip()),
        ("walls", record.walls), ("bundle", record.bundle), ("policy", record.policy),
        ("spec", f"sha256:{record.spec}" if record.spec else ""), ("effort", spent if effort.turns or effort.input_tokens else ""),
        ("tools", tools), ("transcript", kept), ("summary", f"“{record.summary}” (asserted)" if record.summary else ""),
        ("withheld", plural(record.withheld, "secret") if record.withheld else ""),
    ]
