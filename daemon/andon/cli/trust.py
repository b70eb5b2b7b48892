"""`andon trust`: shows the commands that a repository brings, and trusts exactly these."""

import argparse

from andon.cli import codes, out, reach
from andon.cli.asking import agreed
from andon.client import Client
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import RepoId
from andon.schema.inputs import TrustCommands

EXAMPLES = """\
examples:
  andon trust               the repository you stand in: shows its commands and asks
  andon trust shop --yes    shows them and does not ask

Trust holds for exactly these commands: when one changes, nothing of it runs until you trusted the new ones.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which repository."""
    parser.add_argument("repo", nargs="?", default="", help="id or path (default: the one you stand in)")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Show, ask, trust."""
    with reach.daemon() as client:
        repo = reach.the_repository(client.views(), args.repo)
        told = client.ask(wire.ReloadSettings(repo=repo.repo))
        if not isinstance(told, wire.SettingsAre):
            raise Mistake(f"the daemon cannot read the settings of {repo.repo}", mend="`andon config check` looks at them")
        return trust(client, repo.repo, told, yes=args.yes)


def trust(client: Client, repo: RepoId, told: wire.SettingsAre, *, yes: bool) -> int:
    """Show the commands and, after a yes, trust them. NOT_SO after a no."""
    show_commands(told)
    if told.trusted:
        print(f"{repo}: these commands are trusted already")
        return codes.OK
    if not agreed(f"Trust these commands of {repo}?", yes=yes):
        out.say("andon: not trusted; nothing of it will run. `andon trust` asks again")
        return codes.NOT_SO
    client.do(TrustCommands(repo=repo, commands=told.loaded.commands))
    print(f"{repo}: trusted")
    return codes.OK


def show_commands(told: wire.SettingsAre) -> None:
    """The commands that would run, and what a person should know about them."""
    print("commands of this repository that the factory will run:")
    for command in told.commands or told.loaded.settings.commands():
        print(f"  {out.clean(command)}")
    for note in told.loaded.notes:
        print(f"note: {out.clean(note)}")
