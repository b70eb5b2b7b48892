"""`andon agents`: agent CLIs found on this machine."""

import argparse

from andon.cli import codes, out
from andon.schema.agent import Installed

EXAMPLES = """\
examples:
  andon agents ls
  andon agents ls --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """ls."""
    sub = parser.add_subparsers(dest="what", metavar="ls")
    ls = sub.add_parser("ls", help="the agent CLIs found here")
    ls.add_argument("--json", action="store_true", help="a JSON array")
    parser.set_defaults(json=False)


def run(args: argparse.Namespace) -> int:
    """List them."""
    found = installed()
    if args.json:
        out.dump(found)
        return codes.OK
    out.table([(one.adapter, one.version or "-", one.binary) for one in found], ("USE", "VERSION", "PROGRAM"))
    if not found:
        out.say("no agent CLI was found; any program works with: [agents.default] command = [\"./my-agent\", \"{prompt_file}\"]")
    return codes.OK


def installed() -> tuple[Installed, ...]:
    """What all adapters find. Starts none of them."""
    from andon_agents.find import installed as find

    return find()
