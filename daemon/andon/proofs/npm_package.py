"""Packs an npm package and installs the pack; knows no other kind of project."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from andon.proofs import running
from andon.proofs.fact import Fact, Unevaluated
from andon.proofs.package import GROUP, Failed, Room, must, run_installed, step

CODE = (".js", ".cjs", ".mjs", ".ts", ".map", ".jsx", ".tsx")
NOT_HERE = ("ENOTCACHED", "EAI_AGAIN", "ENOTFOUND", "cache mode is 'only-if-cached'")
"""What npm says when it would have to fetch something."""


def npm(room: Room) -> Iterator[Fact]:
    """Facts of the pack and of its installation. What hangs on a step that failed is not there."""
    try:
        package = json.loads((room.source / "package.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        yield Fact(group=GROUP, name="npm: package.json can be read", state="fails", told=str(error))
        return
    told: list[dict[str, Any]] = []
    yield (first := step("npm: a pack is made", lambda: told.append(packed(room))))
    if first.state != "holds":
        return
    pack = told[0]
    shipped = sorted(str(one["path"]) for one in pack.get("files", ()))
    yield from (Fact(group=GROUP, name=f"npm: the pack ships {name}") for name in shipped if not name.endswith(CODE))
    yield (second := step("npm: the pack installs outside of the checkout", lambda: installed(str(pack["filename"]), room)))
    if second.state == "holds":
        yield from used(package if isinstance(package, dict) else {}, shipped, room)


def packed(room: Room) -> dict[str, Any]:
    """What `npm pack` made."""
    ran = must(["npm", "pack", "--json", "--pack-destination", str(room.out)], room, cwd=room.source, env=_env())
    try:
        [told] = json.loads(ran.out[ran.out.index("["):])
    except (ValueError, TypeError):
        raise Failed(f"npm does not say what it packed: {ran.told[-400:]}") from None
    return dict(told)


def _env() -> dict[str, str]:
    return {**os.environ, "npm_config_update_notifier": "false", "npm_config_loglevel": "error"}


def installed(pack: str, room: Room) -> None:
    """The pack in a folder of its own. Unevaluated when a dependency is not in npm's cache and may not be fetched."""
    reach = () if room.network else ("--offline",)
    argv = ["npm", "install", "--prefix", str(room.home), "--no-audit", "--no-fund", *reach, str(room.out / pack)]
    ran = running.run(argv, cwd=room.empty, env=_env(), seconds=room.seconds)
    if ran.code != 0 and not room.network and any(word in ran.told for word in NOT_HERE):
        raise Unevaluated(f"a dependency is not in npm's cache, and nothing may be fetched: {ran.told.strip()[:300]}")
    if ran.code != 0:
        raise Failed(ran.told[-4000:])


def used(package: dict[str, Any], shipped: list[str], room: Room) -> Iterator[Fact]:
    """It is loaded and run from an empty folder."""
    modules = room.home / "node_modules"
    env = {**_env(), "NODE_PATH": str(modules), "PATH": f"{modules / '.bin'}:{os.environ.get('PATH', os.defpath)}"}
    name = str(package.get("name"))
    if {"main", "exports", "module"} & package.keys() or "index.js" in shipped:
        code = f"require({json.dumps(name)})"
        if package.get("type") == "module":
            code = f"import({json.dumps(name)}).catch((e) => {{ console.error(e); process.exit(1) }})"
        yield step(f"npm: `{name}` loads", lambda: _run(["node", "-e", code], room.home, room, env))
    for command in room.runs:
        yield step(f"npm: `{command}` from an empty folder", lambda command=command: run_installed(command, modules, room, env))  # type: ignore[misc]  # bound early
    bins = package.get("bin")
    programs = [name.rpartition("/")[2]] if isinstance(bins, str) else sorted(bins) if isinstance(bins, dict) else []
    for program in programs if not room.runs else ():
        yield step(f"npm: `{program} --version` from an empty folder",
                   lambda program=program: _run([str(modules / ".bin" / program), "--version"], room.empty, room, env))  # type: ignore[misc]  # bound early


def _run(argv: list[str], cwd: Path, room: Room, env: dict[str, str]) -> None:
    must(argv, room, cwd=cwd, env=env)
