"""The public surface of Python packages as facts, read from their source by griffe; it never imports what it reads.

Theory of operation. A name has a fact, and so has each of its parameters and the list of what a caller must give. So a function
that went, a parameter that was renamed or moved, a default that changed and one more thing to give are each missed by name, and
what was merely added (an optional parameter at the end, a function) is not. Annotations are no facts: they change without a
caller noticing.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from andon.proofs.fact import Fact, Unevaluated

if TYPE_CHECKING:
    from griffe import Alias, Class, Function, Module, Object

HELP = "public names of Python packages and what a caller may give them"
DEPTH = 12
"""Of modules and classes within each other."""
SKIPPED = ("tests", "test", "testing", "docs", "doc", "examples", "example", "build", "dist", "node_modules",
           "site-packages", "benchmarks")
"""Folders in which no package is looked for when none is named."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which packages."""
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="names to import them by (default: all that are found)")
    parser.add_argument("--source", action="append", default=[], metavar="DIR", help="where they lie (default: src, or the root)")


def facts(args: argparse.Namespace, root: Path) -> Iterator[Fact]:
    """A fact for each public name and for what a caller gives it."""
    import griffe

    places = [root / each for each in args.source] or [root / "src", root]
    names = args.packages or found(places)
    if not names:
        raise Unevaluated(f"no Python package was found below {' or '.join(str(place) for place in places)}: name one")
    for name in names:
        try:
            module = griffe.load(name, search_paths=[str(place) for place in places], allow_inspection=False,
                                 try_relative_path=False, resolve_aliases=True, resolve_external=False)
        except ImportError:  # griffe's word for not found; nothing is ever imported
            looked = ", ".join(place.relative_to(root).as_posix() for place in places)
            yield Fact(group=f"api {name}", name="module", state="fails", told=f"there is no such package below {looked}")
            continue
        except griffe.GriffeError as error:
            raise Unevaluated(f"package {name} cannot be read: {str(error)[:300]}") from None
        if isinstance(module, griffe.Module):
            yield from _module(module, 0)


def found(places: list[Path]) -> list[str]:
    """Packages and modules of the first of these folders that has any; tests and hidden folders are none."""
    for place in places:
        names = sorted(
            path.parent.name for path in place.glob("*/__init__.py")
            if path.parent.name.isidentifier() and path.parent.name not in SKIPPED and not path.parent.name.startswith("_"))
        if names:
            return names
    return []


def _module(module: "Module", depth: int) -> Iterator[Fact]:
    """What a module offers, and its public modules."""
    group = f"api {module.path}"
    yield Fact(group=group, name="module")
    for name, member in sorted(module.members.items()):
        if not _offered(module, name, member):
            continue
        target = _target(member)
        if target is None:  # somebody else's: that it can be imported from here is all that is known
            yield Fact(group=group, name=name)
        elif target.is_module:
            if not member.is_alias and depth < DEPTH:
                yield from _module(target, depth + 1)  # type: ignore[arg-type] # griffe narrows by `is_module` only at run time
        else:
            yield from _object(group, name, target, depth)


def _offered(module: "Module", name: str, member: "Object | Alias") -> bool:
    """Whether a caller may use this name: as `__all__` says, else no underscore, and of imports those of the package's own."""
    said = module.exports
    if said is not None:
        listed = {each if isinstance(each, str) else each.name for each in said}
        return name in listed or (not member.is_alias and member.is_module and not name.startswith("_"))
    if name.startswith("_") or name == "annotations":
        return False
    if not member.is_alias:
        return True
    target = _target(member)
    own = target is not None and target.path.split(".")[0] == module.path.split(".")[0]
    return own and bool(module.is_init_module)


def _target(member: "Object | Alias") -> "Object | None":
    """What a name stands for; None when it lies outside of what was read."""
    from griffe import Alias, GriffeError

    if not isinstance(member, Alias):
        return member
    try:
        return member.final_target
    except GriffeError:
        return None


def _object(group: str, name: str, thing: "Object", depth: int) -> Iterator[Fact]:
    if thing.is_function:
        yield Fact(group=group, name=f"{name}()")
        yield from _parameters(group, f"{name}()", thing)  # type: ignore[arg-type] # narrowed by `is_function` at run time
    elif thing.is_class:
        yield from _class(group, name, thing, depth)  # type: ignore[arg-type] # narrowed by `is_class` at run time
    else:
        yield Fact(group=group, name=name)


def _class(group: str, name: str, thing: "Class", depth: int) -> Iterator[Fact]:
    """A class: how it is made, and its public members, inherited ones too where they were read."""
    yield Fact(group=group, name=f"class {name}")
    yield from _parameters(group, f"class {name}", thing)
    for inner, member in sorted(thing.all_members.items()):
        target = _target(member)
        if inner.startswith("_") or target is None or (target.is_alias and not member.inherited):
            continue
        if depth < DEPTH and not target.is_module:
            yield from _object(group, f"{name}.{inner}", target, depth + 1)


def _parameters(group: str, name: str, thing: "Function | Class") -> Iterator[Fact]:
    """What may be given and what must be. A position counts where it can be given by position."""
    place, needed = 0, []
    for one in thing.parameters:
        kind = one.kind.value if one.kind else "positional or keyword"
        if place == 0 and one.name in ("self", "cls") and ("." in name or name.startswith("class ")):
            continue
        if kind in ("positional-only", "positional or keyword"):
            place += 1
            where = f"#{place} "
        else:
            where = "*" if kind == "variadic positional" else "**" if kind == "variadic keyword" else "by name "
        given = "" if one.required or kind.startswith("variadic") else f" = {one.default}"
        called = one.name if kind != "positional-only" else "by position"
        if one.required and not kind.startswith("variadic"):
            needed.append(called)
        yield Fact(group=group, name=f"{name} takes {where}{called}{given}")
    yield Fact(group=group, name=f"{name} needs {', '.join(needed) or 'nothing'}")
