"""Reads which packages a manifest or lock file names, in which version, from where, with which bytes. Pure text; installs nothing.

Theory of operation. Each ecosystem has a reader from text to packages; both sides of a change are read with it and compared by
`dependencies`. What has a grammar in the standard library (JSON, TOML) is parsed, the rest is read by the lines that matter. A file
that its reader cannot read raises ValueError, which the caller turns into "unread". Versions are compared for being the same only.
"""

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import Any

import msgspec


class Package(msgspec.Struct, frozen=True):
    """One package as a file names it."""

    version: str = ""
    source: str = ""
    """Where it comes from, when that is not the ecosystem's own registry."""
    digest: str = ""
    script: str = ""
    """What runs when it is installed."""


Packages = dict[str, Package]
_SAID: dict[str, Any] = tomllib.loads((resources.files("andon.edges.facts") / "ecosystems.toml").read_text())
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(@\s*\S+|[^;#]*)")
REGISTRIES = re.compile(
    r"^(registry\+)?(https?://)?(registry\.npmjs\.org|registry\.yarnpkg\.com|pypi\.org/simple|files\.pythonhosted\.org|github\.com/rust-lang/"
    r"crates\.io-index|index\.crates\.io|rubygems\.org|repo1?\.maven\.org/maven2|repo\.maven\.apache\.org/maven2|api\.nuget\.org|packagist\.org"
    r"|repo\.packagist\.org|hex\.pm|pub\.dev|pub\.dartlang\.org|proxy\.golang\.org|plugins\.gradle\.org|dl\.google\.com)(/|$)",
    re.I,
)
SCRIPTS = (
    "preinstall",
    "install",
    "postinstall",
    "prepare",
    "prepublish",
    "preprepare",
    "postprepare",
    "pre-install-cmd",
    "post-install-cmd",
    "post-update-cmd",
    "pre-update-cmd",
    "post-autoload-dump",
    "post-root-package-install",
    "post-create-project-cmd",
)


def _away(source: object) -> str:
    """A source, unless it is the ecosystem's own registry."""
    text = str(source or "")
    return "" if not text or REGISTRIES.match(text) else text


def host_of(url: object) -> str:
    """Where an artifact lies, without its own name: its version changes with each release."""
    text = str(url or "")
    found = re.match(r"((?:git\+)?[a-z+]+://[^/\s]+|git@[^:\s]+|file:|link:|github:)", text)
    place = found[1] if found else text
    away = _away(f"{place}/" if found else text)
    return away.rstrip("/") if away else ""


def _tables(value: Any) -> Iterator[Mapping[str, Any]]:
    """The tables of a list, or of a table of tables."""
    yield from (each for each in (value.values() if isinstance(value, dict) else value or ()) if isinstance(each, dict))


def _spec(spec: Any) -> Package:
    """What stands behind a name in a manifest: a version, or a table."""
    if isinstance(spec, dict):
        source = next(
            (
                f"{key} {spec[key]}"
                for key in ("git", "url", "path", "file", "index", "registry", "source", "ref", "svn")
                if spec.get(key)
            ),
            "",
        )
        return Package(str(spec.get("version", spec.get("rev", spec.get("tag", "")))), source)
    text = str(spec)
    odd = re.match(r"(git|https?|ssh|file|link|github|gitlab|bitbucket|npm|portal|patch):|git\+|[\w.-]+/[\w.-]+(#|$)|git@", text)
    return Package("" if odd else text, text if odd else "")


def _requirement(text: str, into: Packages) -> None:
    found = _REQUIREMENT.match(text)
    if found:
        rest = found[2].strip()
        away = rest.removeprefix("@").strip() if rest.startswith("@") else ""
        name = re.sub(r"[-_.]+", "-", found[1]).lower()
        known = into.get(name)
        into[name] = Package(f"{known.version} {rest}" if known and known.version != rest else "" if away else rest, away)


def _loads(text: str) -> dict[str, Any]:
    found = json.loads(text or "{}")
    if not isinstance(found, dict):
        raise ValueError("not a table")
    return found


def npm(text: str) -> Packages:
    """package.json, also of bun, pnpm and yarn."""
    file, found = _loads(text), Packages()
    for key in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies", "overrides", "resolutions"):
        table = file.get(key)
        for name, spec in table.items() if isinstance(table, dict) else ():
            found[name if key not in ("overrides", "resolutions") else f"{key}: {name}"] = _spec(spec)
    for name in file.get("bundledDependencies") or file.get("bundleDependencies") or ():
        found.setdefault(f"bundled {name}", Package())
    return found | _scripts(file.get("scripts")) | _scripts({"install": "binding.gyp"} if file.get("gypfile") else None)


def _scripts(scripts: Any) -> Packages:
    table = scripts if isinstance(scripts, dict) else {}
    return {f"script {name}": Package(script=str(table[name])) for name in SCRIPTS if table.get(name)}


def npm_lock(text: str) -> Packages:
    """package-lock.json and npm-shrinkwrap.json."""
    file, found = _loads(text), Packages()
    packages, old = file.get("packages"), file.get("dependencies")
    for place, spec in packages.items() if isinstance(packages, dict) else ():
        if place and isinstance(spec, dict):
            script = "its own install script" if spec.get("hasInstallScript") else ""
            found[place.removeprefix("node_modules/")] = Package(
                str(spec.get("version", "")), host_of(spec.get("resolved")), str(spec.get("integrity", "")), script
            )
    if not found:
        _npm_old(old, "", found, 0)
    return found


def _npm_old(table: Any, above: str, found: Packages, deep: int) -> None:
    for name, spec in table.items() if isinstance(table, dict) and deep < 60 else ():
        if isinstance(spec, dict):
            found[f"{above}{name}"] = Package(
                str(spec.get("version", "")), host_of(spec.get("resolved")), str(spec.get("integrity", ""))
            )
            _npm_old(spec.get("dependencies"), f"{above}{name}/node_modules/", found, deep + 1)


def yarn_lock(text: str) -> Packages:
    """yarn.lock, classic and berry."""
    return _blocks(
        text,
        r'^"?((?:@[^/\s"]+/)?[^@\s",]+)@',
        r'^\s+"?version"?:? "?([^"\s]+)',
        r'^\s+"?(?:resolved|resolution)"?:? "?([^"\s]+)',
        r"^\s+(?:integrity|checksum):? (\S+)",
    )


def pnpm_lock(text: str) -> Packages:
    """pnpm-lock.yaml: its list of packages."""
    found: Packages = {}
    name = ""
    for line in text.splitlines():
        head = re.match(r"^  ['\"]?/?((?:@[^/\s'\"]+/)?[^@/\s'\"]+)[@/]([^\s'\":(]+)[^:]*:\s*$", line)
        if head:
            name = head[1]
            version = f"{found[name].version} {head[2]}" if name in found and head[2] not in found[name].version else head[2]
            found[name] = Package(version)
        elif name and (said := re.search(r"integrity: ([^,}\s]+)", line)):
            found[name] = msgspec.structs.replace(found[name], digest=f"{found[name].digest} {said[1]}".strip())
        elif name and (said := re.search(r"(?:tarball|repo): ([^,}\s]+)", line)):
            found[name] = msgspec.structs.replace(found[name], source=host_of(said[1]))
        elif name and "requiresBuild: true" in line:
            found[name] = msgspec.structs.replace(found[name], script="its own install script")
    return found


def _blocks(text: str, head: str, version: str, source: str, digest: str) -> Packages:
    found: Packages = {}
    name = ""
    for line in text.splitlines():
        if begin := re.match(head, line):
            name = begin[1]
            found.setdefault(name, Package())
        for field, pattern in (("version", version), ("source", source), ("digest", digest)):
            if name and (said := re.match(pattern, line)):
                value = host_of(said[1]) if field == "source" and "://" in said[1] else "" if field == "source" else said[1]
                known = getattr(found[name], field)
                if value and value not in known.split():
                    found[name] = msgspec.structs.replace(found[name], **{field: f"{known} {value}".strip()})
    return found


def pyproject(text: str) -> Packages:
    """pyproject.toml: standard, build system, groups, Poetry, uv and PDM."""
    file, found = tomllib.loads(text), Packages()
    project, tool = file.get("project", {}), file.get("tool", {})
    lists = [file.get("build-system", {}).get("requires"), project.get("dependencies")]
    lists += [*project.get("optional-dependencies", {}).values(), *file.get("dependency-groups", {}).values()]
    lists += [*tool.get("pdm", {}).get("dev-dependencies", {}).values(), tool.get("uv", {}).get("dev-dependencies")]
    for each in lists:
        for text_ in each if isinstance(each, list) else ():
            if isinstance(text_, str):
                _requirement(text_, found)
    build = file.get("build-system", {})
    if build.get("build-backend") or build.get("backend-path"):
        found["build backend"] = Package(source=f"{build.get('build-backend')} {build.get('backend-path') or ''}".strip())
    poetry = tool.get("poetry", {})
    groups = [
        poetry.get("dependencies"),
        poetry.get("dev-dependencies"),
        *(group.get("dependencies") for group in _tables(poetry.get("group"))),
    ]
    for table in groups:
        for name, spec in table.items() if isinstance(table, dict) else ():
            found[name.lower()] = _spec(spec)
    for name, spec in tool.get("uv", {}).get("sources", {}).items():
        found[f"source of {name}"] = Package(source=json.dumps(spec, sort_keys=True, default=str))
    for where in (poetry.get("source"), tool.get("uv", {}).get("index"), tool.get("pdm", {}).get("source")):
        for spec in _tables(where):
            found[f"index {spec.get('name', '')}"] = Package(source=str(spec.get("url", "")))
    return found


def toml_lock(text: str) -> Packages:
    """Cargo.lock, poetry.lock, uv.lock, pdm.lock and pylock.toml."""
    file, found = tomllib.loads(text), Packages()
    for spec in _tables(file.get("package", file.get("packages"))):
        source = spec.get("source") or spec.get("vcs") or ""
        if isinstance(source, dict):
            source = (
                ""
                if set(source) <= {"registry", "virtual", "editable"} and _away(source.get("registry")) == ""
                else json.dumps(source, sort_keys=True)
            )
        hashes = [
            str(each.get("hash", ""))
            for each in _tables(spec.get("files") or [*(spec.get("wheels") or ()), spec.get("sdist") or {}])
        ]
        name, known = str(spec.get("name", "")), found.get(str(spec.get("name", "")))
        digest = " ".join(sorted([str(spec.get("checksum", "")), *hashes])).strip()
        version = str(spec.get("version", ""))
        found[name] = Package(
            f"{known.version} {version}" if known else version, _away(source), f"{known.digest} {digest}" if known else digest
        )
    for line in _tables(file.get("metadata", {}).get("files")):
        found.setdefault("files", Package(digest=str(line)))
    return found


def cargo(text: str) -> Packages:
    """Cargo.toml."""
    file, found = tomllib.loads(text), Packages()
    places = [file, file.get("workspace", {}), *_tables(file.get("target"))]
    for place in places:
        for key in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, spec in place.get(key, {}).items():
                found[name] = _spec(spec)
    for key in ("patch", "replace"):
        for name, spec in file.get(key, {}).items():
            found[f"{key} {name}"] = Package(source=json.dumps(spec, sort_keys=True, default=str))
    build = file.get("package", {}).get("build")
    return found | ({"build script": Package(script=str(build))} if build else {})


def pipfile(text: str) -> Packages:
    """Pipfile."""
    file, found = tomllib.loads(text), Packages()
    for key in ("packages", "dev-packages"):
        for name, spec in file.get(key, {}).items():
            found[name.lower()] = _spec(spec)
    for spec in _tables(file.get("source")):
        found[f"index {spec.get('name', '')}"] = Package(source=_away(spec.get("url")) or "pypi")
    return found


def json_lock(text: str) -> Packages:
    """Pipfile.lock, composer.lock, packages.lock.json, Package.resolved, flake.lock, deno.lock: names with versions."""
    found: Packages = {}
    _json_walk(_loads(text), "", found, 0)
    return found


def _json_walk(value: Any, name: str, found: Packages, deep: int) -> None:
    if deep > 12:
        raise ValueError("it is nested too deeply")
    if isinstance(value, list):
        for each in value:
            _json_walk(each, "", found, deep + 1)
    if not isinstance(value, dict):
        return
    known = next((key for key in ("version", "resolved", "rev", "revision") if isinstance(value.get(key), str)), "")
    called = str(value.get("name") or value.get("identity") or name)
    if known and called:
        dist = value.get("dist") or value.get("source") or {}
        source = (
            value.get("location") or value.get("git") or value.get("url") or (dist.get("url") if isinstance(dist, dict) else "")
        )
        digest = (
            value.get("hashes")
            or value.get("contentHash")
            or value.get("narHash")
            or (dist.get("shasum") if isinstance(dist, dict) else "")
        )
        found[called] = Package(str(value[known]), host_of(source), json.dumps(digest) if digest else "")
    for key, each in value.items():
        _json_walk(each, key, found, deep + 1)


def composer(text: str) -> Packages:
    """composer.json."""
    file, found = _loads(text), Packages()
    for key in ("require", "require-dev", "replace"):
        table = file.get(key)
        found |= {name: Package(str(spec)) for name, spec in (table.items() if isinstance(table, dict) else ())}
    if file.get("repositories"):
        found["repositories"] = Package(source=json.dumps(file["repositories"], sort_keys=True)[:400])
    return found | _scripts(file.get("scripts"))


def requirements(text: str) -> Packages:
    """Requirements and constraints of pip."""
    found: Packages = {}
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if option := re.match(
            r"(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|--no-index|--pre)\b[ =]*(\S*)", line
        ):
            found[f"option {option[1]} {option[2]}"] = Package(source=_away(option[2]) or option[1])
        elif re.match(r"(-e|--editable)?\s*(git\+|https?://|file:|\./|\.\./|svn\+|hg\+)", line):
            name = (re.search(r"egg=([\w.-]+)", line) or re.search(r"/([\w.-]+?)(\.git)?(@|#|$|\s)", line) or [line, line])[1]
            found[name.lower()] = Package(source=line)
        elif line and not line.startswith(("#", "-")):
            bare = re.split(r"\s--hash=", line)
            _requirement(bare[0].split(" #")[0], found)
            if len(bare) > 1 and (name := _REQUIREMENT.match(line)):
                key = re.sub(r"[-_.]+", "-", name[1]).lower()
                found[key] = msgspec.structs.replace(found[key], digest=" ".join(sorted(bare[1:])))
    return found


def setup_cfg(text: str) -> Packages:
    """setup.cfg: what it requires."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    found: Packages = {}
    for section, key in (("options", "install_requires"), ("options", "setup_requires"), ("options", "tests_require")):
        for line in parser.get(section, key, fallback="").splitlines():
            _requirement(line, found)
    for values in parser["options.extras_require"].values() if parser.has_section("options.extras_require") else ():
        for line in values.splitlines():
            _requirement(line, found)
    return found


def _by_lines(*patterns: str) -> Callable[[str], Packages]:
    """A reader of lines: each pattern names `name`, and may name `version`, `source`, `digest` and `script`."""
    known = [re.compile(pattern) for pattern in patterns]

    def read(text: str) -> Packages:
        found: Packages = {}
        for line in text.splitlines():
            said = next((match.groupdict() for pattern in known if (match := pattern.search(line[:2000]))), None)
            if said:
                name = said.pop("name", None) or "source"
                old = found.get(name, Package())
                new = {key: value.strip() for key, value in said.items() if value}
                found[name] = msgspec.structs.replace(
                    old,
                    **{
                        key: f"{getattr(old, key)} {value}".strip() if value not in getattr(old, key) else getattr(old, key)
                        for key, value in new.items()
                    },
                )
        return found

    return read


def pom(text: str) -> Packages:
    """pom.xml: its dependencies, plugins and repositories, read as text."""
    found: Packages = {}
    bare = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for block in re.findall(
        r"<(?:dependency|plugin|parent|extension)>(.{1,4000}?)</(?:dependency|plugin|parent|extension)>", bare, re.DOTALL
    ):
        words = dict(re.findall(r"<(groupId|artifactId|version)>\s*([^<]+?)\s*<", block))
        if "artifactId" in words:
            found[f"{words.get('groupId', '')}:{words['artifactId']}"] = Package(words.get("version", ""))
    for name, value in re.findall(r"<([\w.-]*[vV]ersion)>([^<]+)</", bare):
        found.setdefault(f"property {name}", Package(value))
    for url in re.findall(r"<(?:repository|pluginRepository|mirror)>.{0,600}?<url>([^<]+)</url>", bare, re.DOTALL):
        found[f"repository {url.strip()}"] = Package(source=_away(url.strip()) or "central")
    return found


READERS: tuple[tuple[str, Callable[[str], Packages]], ...] = (
    (r"package\.json", npm),
    (r"package-lock\.json|npm-shrinkwrap\.json", npm_lock),
    (r"yarn\.lock", yarn_lock),
    (r"pnpm-lock\.yaml", pnpm_lock),
    (r"pyproject\.toml", pyproject),
    (r"(poetry|uv|pdm)\.lock|Cargo\.lock|pylock(\.[\w-]+)?\.toml", toml_lock),
    (r"Cargo\.toml", cargo),
    (r"Pipfile", pipfile),
    (
        r"Pipfile\.lock|composer\.lock|packages\.lock\.json|Package\.resolved|flake\.lock|deno\.lock"
        r"|project\.assets\.json|vcpkg\.json|bower\.json",
        json_lock,
    ),
    (r"composer\.json", composer),
    (r"setup\.cfg", setup_cfg),
    (r".*(requirements|constraints)[\w.-]*\.(txt|in|lock)|requirements\.lock|requires?[\w.-]*\.txt", requirements),
    (r"pom\.xml", pom),
    *((said["files"], _by_lines(*said["lines"])) for said in _SAID.values()),
)
"""What a file's name says about how its packages are read."""
LOCKS = re.compile(
    r"(^|/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|[\w.-]+\.lock|go\.sum|gems\.locked|Package\.resolved"
    r"|packages\.lock\.json|gradle\.lockfile|mix\.lock|pubspec\.lock|Podfile\.lock|requirements\.lock|pylock.*\.toml|deno\.lock)$"
)
"""Files that tools write: what comes in there came in through a manifest, or through nothing that anybody said."""


def reader_of(path: str) -> Callable[[str], Packages] | None:
    """How the packages of this file are read; None when it names none."""
    name = path.rsplit("/", 1)[-1]
    if path.endswith((".cargo/config.toml", ".cargo/config", ".bundle/config", ".mvn/settings.xml", "gradle.properties")):
        return _by_lines(*_SAID["config"]["lines"])
    return next((read for pattern, read in READERS if re.fullmatch(pattern, name)), None)
