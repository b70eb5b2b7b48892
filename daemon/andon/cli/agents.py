"""`andon agents`: adapters, the programs found for them, their logins and limits; their pages; and the conformance kit."""

import argparse
import time

import msgspec

from andon.cli import codes, out, reach
from andon.client import DaemonDown
from andon.schema import inputs as i
from andon.schema.agent import Adapter, Installed, Login, Profile, Supervised
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.views import AccountView

EXAMPLES = """\
examples:
  andon agents                  every adapter: program, version, login, channel, limits
  andon agents --installed      only those whose program is here
  andon agents show claude      what works, by which channel, what is not seen
  andon agents check claude     the conformance kit, on the program that is installed here
  andon agents free claude      say that an account's limit is over
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One adapter, as it is printed."""

    use: str
    binary: str = ""
    version: str = ""
    channel: str = "none"
    login: str = "unknown"
    because: str = ""
    mend: str = ""
    metered: str = ""
    answers: bool = False
    resumes: bool = False
    limit: str = ""
    install: str = ""
    """What a person types when its program is missing; empty for what comes with Andon."""
    blind: tuple[str, ...] = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """ls, show, check, free."""
    parser.add_argument("--json", action="store_true", help="a JSON array")
    parser.add_argument("--installed", action="store_true", help="only adapters whose program is installed")
    sub = parser.add_subparsers(dest="what", metavar="ls|show|check|free")
    ls = sub.add_parser("ls", help="the same as without a word")
    ls.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="a JSON array")
    ls.add_argument("--installed", action="store_true", default=argparse.SUPPRESS, help="only those installed")
    for name, told in (("show", "the page of an agent"), ("check", "run the conformance kit"), ("free", "its limit is over")):
        one = sub.add_parser(name, help=told)
        one.add_argument("agent", help="the word in `use = …`" if name != "free" else "an account")
        if name == "check":
            one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="a JSON object")
            one.add_argument("--model", default="", help="address of a scripted model: runs a whole job through the program")


def run(args: argparse.Namespace) -> int:
    """What was asked for."""
    if args.what == "show":
        return _show(args.agent)
    if args.what == "check":
        return _check(args)
    if args.what == "free":
        return _free(args.agent)
    found = rows(args.installed)
    if args.json:
        out.dump(found)
        return codes.OK
    out.table([_cells(one) for one in found], ("USE", "VERSION", "CHANNEL", "LOGIN", "COST", "LIMIT"))
    for one in found:
        if one.mend and one.binary:
            out.say(f"{one.use}: {one.because}; {one.mend}")
    if not any(one.binary for one in found):
        out.say("no agent CLI was found; any program works with: [agents.default] command = [\"./my-agent\", \"{prompt_file}\"]")
    return codes.OK


def rows(installed_only: bool = False) -> list[Row]:
    """Every adapter with what was found of it. Starts nothing but `--version` of what is installed."""
    from andon_agents.find import adapters

    limits = _limits()
    found = [_row(adapter, limits) for adapter in adapters().values()]
    found.sort(key=lambda row: (not row.binary, row.use))
    return [row for row in found if row.binary or not installed_only]


def _row(adapter: Adapter, limits: dict[str, str]) -> Row:
    import os

    here = next(iter(adapter.detect()), None)
    profile, login = Profile(), Login(state="unknown", because="this adapter cannot tell")
    if isinstance(adapter, Supervised):
        profile = adapter.profile()
        login = adapter.login(AgentSettings(name=adapter.name, use=adapter.name), os.environ)
    return Row(
        use=adapter.name, binary=here.binary if here else "", version=here.version if here else "", channel=profile.channel,
        login=login.state, because=login.because, mend=login.mend if here else profile.install,
        metered=profile.metered if isinstance(adapter, Supervised) else "unmetered", answers=profile.answers,
        resumes=profile.resumes, limit=limits.get(adapter.name, ""), blind=profile.blind,
        install=profile.install or getattr(adapter, "install", ""),
    )


def _cells(row: Row) -> tuple[str, ...]:
    ours = not row.install or row.install.startswith("nothing")
    version = row.version or ("-" if row.binary else "built in" if ours else "not installed")
    return row.use, version, row.channel, _login(row), row.metered or "-", row.limit


def _login(row: Row) -> str:
    """A glyph and a word; nothing for a program that is not here."""
    marks = {"ready": "✓ ready", "missing": "✗ missing", "unknown": "? unknown"}
    return marks[row.login] if row.binary else "-"


def _limits() -> dict[str, str]:
    """The accounts at a limit, when a daemon runs that knows."""
    try:
        with reach.daemon() as client:
            accounts = reach.of(AccountView, client.views())
    except DaemonDown:
        return {}
    return {one.account: _until(one) for one in accounts if one.because}


def _until(account: AccountView) -> str:
    if not account.limited_until:
        return f"{out.clean(account.because)} (until `andon agents free {account.account}`)"
    minutes = max(0, round((account.limited_until / 1000 - time.time()) / 60))
    return f"{out.clean(account.because)} (for {minutes} min)"


def installed() -> tuple[Installed, ...]:
    """The programs that all adapters find."""
    from andon_agents.find import installed as find

    return find()


def _show(name: str) -> int:
    """The page of an adapter, as it comes with the program."""
    from importlib import resources

    pages = resources.files("andon_agents") / "pages"
    known = sorted(page.name.removesuffix(".md") for page in pages.iterdir() if page.name.endswith(".md"))
    if name not in known:
        raise Mistake(f"there is no page about `{name}`", mend=f"there are pages about: {', '.join(known)}")
    print((pages / f"{name}.md").read_text("utf-8").rstrip())
    return codes.OK


def _check(args: argparse.Namespace) -> int:
    """Run the kit; exit code 1 when a part failed."""
    from andon_agents.conformance import check
    from andon_agents.find import adapters

    known = adapters()
    if args.agent not in known:
        raise Mistake(f"there is no adapter `{args.agent}`", mend=f"known: {', '.join(known)}")
    report = check(known[args.agent], model=args.model)
    if args.json:
        out.dump(report)
    else:
        marks = {"pass": "✓ pass", "fail": "✗ fail", "unevaluated": "? unevaluated"}
        out.table([(marks[part.result], part.name, part.because) for part in report], ("", "PART", "WHAT WAS SEEN"))
    return codes.NOT_SO if any(part.result == "fail" for part in report) else codes.OK


def _free(account: str) -> int:
    with reach.daemon() as client:
        done = client.do(i.FreeAccount(account=account))
    print(out.clean(done.text) or f"{account} is at no limit")
    return codes.OK
