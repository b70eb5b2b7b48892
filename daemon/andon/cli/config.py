"""`andon config`: the settings that hold here with their origin, a check of them, and the schema for editors."""

import argparse
import os
from pathlib import Path

from andon.cli import codes, gitlook, out, reach
from andon.schema.errors import Mistake
from andon.schema.settings import Loaded

EXAMPLES = """\
examples:
  andon config show                       each value that holds here, and where it comes from
  andon config show --set factory.wip=2   as if that were said on the command line
  andon config check                      exit code 1 and the line, when andon.toml is wrong
  andon config schema > andon.schema.json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """show, check, schema."""
    sub = parser.add_subparsers(dest="what", metavar="show|check|schema", required=True)
    show = sub.add_parser("show", help="each value with its origin")
    show.add_argument("key", nargs="?", default="", help="only keys that begin with this")
    show.add_argument("--set", dest="sets", metavar="KEY=VALUE", action="append", default=[],
                      help="a value as TOML; may be repeated")
    show.add_argument("--json", action="store_true", help="a JSON array of {key, value, origin, where}")
    check = sub.add_parser("check", help="whether andon.toml can be used")
    for one in (show, check):
        one.add_argument("--repo", default="", help="path of the repository (default: the one you stand in)")
    sub.add_parser("schema", help="the JSON Schema of andon.toml")


def run(args: argparse.Namespace) -> int:
    """Show, check or print the schema."""
    if args.what == "schema":
        import json

        from andon_config.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return codes.OK
    return _show(args) if args.what == "show" else _check(args)


def _show(args: argparse.Namespace) -> int:
    loaded = load(Path(args.repo or "."), dict(_pair(text) for text in args.sets))
    origins = [one for one in loaded.origins if one.key.startswith(args.key)]
    if args.json:
        out.dump(origins)
        return codes.OK
    out.table([(one.key, one.origin, _near(one.where), one.value) for one in origins], ("KEY", "FROM", "WHERE", "VALUE"))
    for note in loaded.notes:
        out.say(f"note: {out.clean(note)}")
    return codes.OK


def _check(args: argparse.Namespace) -> int:
    try:
        loaded = load(Path(args.repo or "."), {})
    except Mistake as mistake:
        out.say(f"andon: {out.clean_lines(str(mistake.problem))}")
        return codes.NOT_SO
    print(f"the settings are sound: {len(loaded.settings.checks)} checks, {len(loaded.settings.agents)} agents, "
          f"target {out.clean(loaded.settings.target)}, digest {loaded.digest[:12]}")
    for note in loaded.notes:
        print(f"note: {out.clean(note)}")
    return codes.OK


def load(folder: Path, overrides: dict[str, str]) -> Loaded:
    """The settings of the repository around a folder, read here and now as the daemon would read them."""
    from andon_config.load import load_repository

    top = gitlook.top_level(folder.expanduser())
    work = top / "andon.toml"
    person = reach.place().person_settings
    first = load_repository(work=work if work.exists() else None, base=None, person=person if person.exists() else None,
                            overrides=overrides)
    target = first.settings.target
    base = gitlook.committed(top, target)
    if base is None:
        return first
    return load_repository(work=work if work.exists() else None, base=base, base_where=f"{target}:andon.toml",
                           person=person if person.exists() else None, overrides=overrides)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise Mistake(f"`{text}` is no KEY=VALUE", where="--set", mend="write for example --set factory.wip=2")
    return key.strip(), value.strip()


def _near(where: str) -> str:
    """A place with the home directory shortened."""
    home = os.path.expanduser("~")  # noqa: PTH111 (text, not a path: it has a line number)
    return f"~{where[len(home):]}" if home != "/" and where.startswith(home) else where
