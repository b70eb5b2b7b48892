"""`andon init`: puts the repository you stand in under the factory. Writes one file, andon.toml, and only after a yes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from andon.cli import codes, gitlook, out, reach
from andon.cli.asking import agreed
from andon.cli.trust import show_commands
from andon.client import Client
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.sentences import plural

if TYPE_CHECKING:
    from andon_config.detect import Detected

EXAMPLES = """\
examples:
  andon init               shows the andon.toml it would write, and asks
  andon init --yes         writes it and trusts the commands that it prints, without asking
  andon init --show        prints the andon.toml and does nothing
  andon init --from-workflow .github/workflows/ci.yml
                           its run steps become checks, best effort; what was left out is listed with the reason

An andon.toml that is there is used as it is. Nothing else in the repository is written.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which repository, how sure."""
    parser.add_argument("path", nargs="?", default=".", help="the repository (default: the one you stand in)")
    parser.add_argument("--target", default="", help="the branch that changes land on (default: the one checked out)")
    parser.add_argument("--from-workflow", metavar="FILE", default="",
                        help="take the run steps of a GitHub Actions workflow over as checks, and list what cannot be")
    parser.add_argument("--agent", action="append", default=[], help="an agent to write down as the one to use; may be repeated")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--show", action="store_true", help="print the file only")


def run(args: argparse.Namespace) -> int:
    """Detect, show, ask, write, register, ask for trust."""
    top = gitlook.top_level(Path(args.path).expanduser())
    target = args.target or gitlook.branch(top)
    path = top / "andon.toml"
    if args.from_workflow and not args.show and (path.exists() or path.is_symlink()):
        raise Mistake("andon.toml is there, and is never written over", where=str(path),
                      mend="`andon init --show --from-workflow FILE` prints the checks to copy into it")
    if (path.exists() or path.is_symlink()) and not args.from_workflow:
        print(f"{path} is there; it is used as it is")
    elif not _made(path, target, args):
        return codes.OK if args.show else codes.NOT_SO
    if args.show:
        return codes.OK
    with reach.daemon(start=True) as client:
        return _register(client, top, yes=args.yes)


def _made(path: Path, target: str, args: argparse.Namespace) -> bool:
    """Show the file that would be written, and write it after a yes."""
    text = _proposal(path.parent, target, tuple(args.agent), args.from_workflow)
    if args.show:
        print(text, end="")
        return False
    print(out.paint(f"--- /dev/null\n+++ {path}", "bold"))
    for line in text.splitlines():
        print(out.paint(f"+{out.clean_lines(line)}", "add"))
    if not agreed(f"Write {path}?", yes=args.yes):
        out.say("andon: nothing was written")
        return False
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Mistake(f"andon.toml cannot be written: {error.strerror}", where=str(path),
                      mend="make the directory writable") from error
    print(f"wrote {path}")
    return True


def _proposal(top: Path, target: str, agents: tuple[str, ...], workflow: str) -> str:
    from andon_config.detect import detect
    from andon_config.detect_proofs import proofs
    from andon_config.render import render

    found_there = _imported(Path(workflow)) if workflow else detect(top)
    if not agents:
        from andon.cli.agents import installed

        found = installed()
        out.say("agent CLIs found: " + (", ".join(f"{one.adapter} ({one.binary})" for one in found) or "none"))
        agents = tuple(dict.fromkeys(one.adapter for one in found))
    return render(found_there, agents, target, proofs(top))


def _imported(path: Path) -> "Detected":
    """The checks of a workflow, and a list of what was not taken over."""
    from andon_config.workflow import LIMIT, imported

    try:
        with path.expanduser().open("rb") as file:
            text = file.read(LIMIT + 1).decode("utf-8", "replace")
    except OSError as error:
        raise Mistake(f"the workflow cannot be read: {error.strerror}", where=out.clean(str(path)),
                      mend="name a file of .github/workflows") from error
    made = imported(text, path.name)
    out.say(f"taken over: {plural(len(made.detected.checks), 'check')}, {plural(len(made.detected.setup), 'setup command')}; "
            f"not taken over: {len(made.skipped)}")
    for one in made.skipped:
        out.say(f"  {out.clean(one.where)}: {out.clean(one.because)}")
    return made.detected


def _register(client: Client, top: Path, *, yes: bool) -> int:
    reply = client.ask(wire.Register(path=str(top)))
    if isinstance(reply, wire.SettingsAre) and not reply.trusted:
        show_commands(reply)
        if not agreed("Trust these commands?", yes=yes):
            out.say("andon: not registered; nothing of it runs. `andon init` asks again")
            return codes.NOT_SO
        reply = client.ask(wire.Register(path=str(top), trust=Digest(reply.loaded.commands)))
    name = " ".join(reply.ids) if isinstance(reply, wire.Done) and reply.ids else top.name
    print(f"{out.clean(name)} is registered and trusted")
    if gitlook.git(top, "ls-files", "--error-unmatch", "--", "andon.toml") is None:
        print('next: git add andon.toml && git commit -m "Add andon.toml"     (checks are judged by the committed one)')
        print('then: andon add "what you want"')
    else:
        print('next: andon add "what you want"')
    return codes.OK
