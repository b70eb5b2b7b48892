"""The checks that come with the program, offline: secrets in what a change adds, and releases with known vulnerabilities."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import gitkit
from andon.edges.bundled import folder_of
from andon.edges.sandbox import reached
from andon.scans import advisories, locks
from andon.scans.locks import NPM, PYPI, Release
from andon.schema.errors import Mistake
from andon.schema.ids import Oid
from andon.schema.settings import Check, Checkout
from checkkit import Prover
from checkoutkit import Floor, floor

SECRETS = Check(name="secrets", run="", use="secrets", report="sarif")
PINS = Check(name="dependencies", run="", use="dependencies", report="sarif")
KEY = "AKIA" + "Z7QW3ERT5YUI8OPA"
ENTROPY = "9cK3vTq8Zx1LmN0pRs7UwYb2Da4Ef6Gh"


# --- secrets -----------------------------------------------------------------------------------------------------------


PLANTED = {
    "a key of a provider": f"client = connect('{KEY}')\n",
    "a key that its own line calls harmless": f"client = connect('{KEY}')  # pragma: allowlist secret\n",
    "a private key": "text = '''-----BEGIN RSA PRIVATE KEY-----\n'''\n",
    "a password": "password = 'Tr0ub4dor-and-3-more'\n",
    "a token": f"value = 'ghp_{'A7' * 18}'\n",
}


@pytest.mark.parametrize("what", PLANTED)
async def test_a_secret_that_a_change_adds_is_found_and_not_shown(tmp_path: Path, what: str) -> None:
    shop = floor(tmp_path, {"a.py": f"old = '{KEY[:-1]}B'\n"})
    base, head = shop.base, gitkit.commit(shop.person, {"b.py": f"# new\n{PLANTED[what]}"}, what)
    prover = Prover(shop)
    ran = await prover.run(SECRETS, head, base)
    assert ran.result == "fail" and ran.failing[0].startswith("b.py:2 "), ran
    assert "1 added line" in ran.because or "added lines looked at" in ran.because
    kept = b"".join(prover.blobs.get(digest) for digest in (ran.report, ran.evidence, ran.log))
    assert not any(word in kept for word in (KEY.encode(), b"Tr0ub4dor", b"ghp_")), kept


HARMLESS = {
    "what was there before": ("a.py", f"old = '{KEY}'\n# a remark\n"),
    "a reference": ("b.py", "password = os.environ['PASSWORD']\ntoken = get_token()\n"),
    "a digest in a lock file": ("poetry.lock", f'hash = "sha256:{"0123456789abcdef" * 4}"\n'),
}


@pytest.mark.parametrize("what", HARMLESS)
async def test_what_is_no_new_secret_is_left_alone(tmp_path: Path, what: str) -> None:
    name, text = HARMLESS[what]
    shop = floor(tmp_path, {"a.py": f"old = '{KEY}'\n"})
    base, head = shop.base, gitkit.commit(shop.person, {name: text}, what)
    assert (await Prover(shop).run(SECRETS, head, base)).result == "pass"


def allow_list(repo: Path, *names: str) -> str:
    """What detect-secrets itself writes of these files."""
    program = (sys.executable, "-m", "detect_secrets", "scan", "--no-verify", "--all-files", *names)
    done = subprocess.run(program, cwd=repo, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


async def test_the_allow_list_of_the_base_holds_and_one_that_a_change_brings_does_not(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.py": "x = 1\n"})
    line = f"key = '{KEY}'\n"
    gitkit.write(shop.person, {"b.py": line})
    allowed = allow_list(shop.person, "b.py")
    assert "AWS Access Key" in allowed
    base = shop.base
    lone = gitkit.commit(shop.person, {"b.py": None, ".secrets.baseline": allowed}, "a list alone")
    assert (await Prover(shop).run(SECRETS, lone, base)).result == "pass"
    own = gitkit.commit(shop.person, {"b.py": line}, "and what it allows")
    assert (await Prover(shop).run(SECRETS, own, base)).result == "fail"
    gitkit.run(shop.person, "reset", "-q", "--hard", base)
    base = Oid(gitkit.commit(shop.person, {".secrets.baseline": allowed}, "the list"))
    head = gitkit.commit(shop.person, {"b.py": line}, "the finding")
    assert (await Prover(shop).run(SECRETS, head, base)).result == "pass"
    marked = json.loads(allowed)
    marked["results"]["b.py"][0]["is_secret"] = True
    base = Oid(gitkit.commit(shop.person, {".secrets.baseline": json.dumps(marked), "b.py": None}, "a real one"))
    head = gitkit.commit(shop.person, {"b.py": line}, "the finding")
    assert (await Prover(shop).run(SECRETS, head, base)).result == "fail"


async def test_an_allow_list_that_cannot_be_read_is_unevaluated(tmp_path: Path) -> None:
    shop = floor(tmp_path, {".secrets.baseline": "[1]"})
    base, head = shop.base, gitkit.commit(shop.person, {"b.py": "x = 1\n"}, "more")
    ran = await Prover(shop).run(SECRETS, head, base)
    assert ran.result == "unevaluated" and "allow-list" in ran.tail, ran


async def test_a_guess_by_looks_counts_only_where_it_is_asked_for(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"a.py": "x = 1\n"})
    base, head = shop.base, gitkit.commit(shop.person, {"b.py": f"value = '{ENTROPY}'\n"}, "random letters")
    assert (await Prover(shop).run(SECRETS, head, base)).result == "pass"
    strict = Check(name="secrets", run="", use="secrets", report="sarif", fail_on="warning")
    assert (await Prover(shop).run(strict, head, base)).result == "fail"


async def test_a_scan_runs_nothing_of_the_change(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = f"open({str(mark)!r}, 'w')\n"
    shop = floor(tmp_path, {"a.py": "x = 1\n"})
    files: dict[str, str | None] = {name: evil for name in ("andon/__init__.py", "json.py", "sitecustomize.py")}
    base, head = shop.base, gitkit.commit(shop.person, files, "names of ours")
    ran = await Prover(shop).run(SECRETS, head, base, checkout=Checkout(setup=(f"touch {mark}",)))
    assert ran.result == "pass" and not mark.exists(), ran


@pytest.mark.skipif(reached().level != "strict", reason="this machine gives no strict walls")
async def test_scans_work_within_strict_walls(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"requirements.txt": "jinja2==3.1.2\n"})
    keep(shop, osv("PYSEC-1", PYPI, "jinja2", fixed="3.1.3"))
    base, head = shop.base, gitkit.commit(shop.person, {"b.py": f"client = connect('{KEY}')\n"}, "a key")
    prover = Prover(shop, level="strict")
    for check in (SECRETS, PINS):
        ran = await prover.run(check, head, base)
        assert (ran.result, ran.walls) == ("fail", "strict"), ran


# --- dependencies --------------------------------------------------------------------------------------------------------


def osv(name: str, ecosystem: str, package: str, *, days: int = 0, fixed: str = "", **more: Any) -> dict[str, Any]:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86400))
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    affected = {"package": {"ecosystem": ecosystem, "name": package}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"id": name, "modified": when, "summary": f"about {package}", "affected": [affected | more.pop("affected", {})],
            "database_specific": {"severity": "HIGH"}, **more}


def archive(path: Path, *entries: dict[str, Any]) -> Path:
    """What OSV publishes: a file an advisory."""
    with zipfile.ZipFile(path, "w") as packed:
        for entry in entries:
            packed.writestr(f"{entry['id']}.json", json.dumps(entry))
    return path


def keep(shop: Floor, *entries: dict[str, Any]) -> None:
    shop.layout.home.mkdir(parents=True, exist_ok=True)
    advisories.update(folder_of(shop.layout.home), archive(shop.layout.home / "all.zip", *entries))


NPM_LOCK = json.dumps({"lockfileVersion": 3, "packages": {
    "": {"name": "own", "version": "1.0.0"}, "node_modules/lodash": {"version": "4.17.20"},
    "node_modules/a/node_modules/@scope/b": {"version": "2.0.0-rc.1"}}}, indent=1)
LOCKS: dict[str, tuple[str, str, str, tuple[str, int]]] = {
    "requirements.txt": ("# pinned\nflask>=2\nJinja2==3.1.2 \\\n    --hash=sha256:abc  # why\n", PYPI, "jinja2", ("3.1.3", 3)),
    "requirements/dev.txt": ("jinja2[i18n]==3.1.2 ; python_version > '3'\n", PYPI, "jinja2", ("3.1.3", 1)),
    "poetry.lock": ('[[package]]\nname = "Jinja2"\nversion = "3.1.2"\n', PYPI, "jinja2", ("3.1.3", 2)),
    "uv.lock": ('version = 1\n[[package]]\nname = "jinja2"\nversion = "3.1.2"\n', PYPI, "jinja2", ("3.1.3", 3)),
    "Pipfile.lock": ('{"default": {\n"jinja2": {"version": "==3.1.2"}}}', PYPI, "jinja2", ("3.1.3", 2)),
    "package-lock.json": (NPM_LOCK, NPM, "lodash", ("4.17.21", 8)),
    "web/npm-shrinkwrap.json": (
        '{"dependencies": {"x": {"version": "1.0.0", "dependencies":\n {"lodash": {"version": "4.17.20"}}}}}', NPM, "lodash",
        ("4.17.21", 2)),
}


@pytest.mark.parametrize("path", LOCKS)
async def test_a_pinned_vulnerable_release_is_found_offline(tmp_path: Path, path: str) -> None:
    text, ecosystem, name, (fixed, line) = LOCKS[path]
    shop = floor(tmp_path, {path: text})
    keep(shop, osv("GHSA-aaaa", ecosystem, name, fixed=fixed, days=3), osv("GHSA-other", ecosystem, "another", fixed="99", days=5))
    ran = await Prover(shop).run(PINS, shop.base)
    assert ran.result == "fail" and ran.failed == 1 and ran.failing[0].startswith(f"{path}:{line} GHSA-aaaa {name} "), ran
    assert f"mended in {fixed}" in ran.failing[0] and f"advisories of {ecosystem} are 3 days old" in ran.because


async def test_a_release_that_is_mended_passes_and_says_how_old_its_data_is(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"requirements.txt": "jinja2==3.1.3\n", "yarn.lock": "\n"})
    keep(shop, osv("GHSA-aaaa", PYPI, "Jinja2", fixed="3.1.3", days=1))
    ran = await Prover(shop).run(PINS, shop.base)
    assert (ran.result, ran.because) == ("pass", "no finding; advisories of PyPI are 1 day old; not read: yarn.lock"), ran


NOTHING: dict[str, tuple[dict[str, str], list[dict[str, Any]], str, str]] = {
    "no advisories at all": ({"requirements.txt": "a==1\n"}, [], "no-data", "andon advisories update"),
    "none of this ecosystem": ({"package-lock.json": NPM_LOCK}, [osv("P", PYPI, "a")], "no-data", "no advisories of npm"),
    "old ones": ({"requirements.txt": "a==1\n"}, [osv("P", PYPI, "a", days=31)], "old-data", "31 days old, 30 days are allowed"),
    "nothing that names releases": ({"a.py": "x\n", "go.sum": "\n"}, [osv("P", PYPI, "a")], "no-data", "not read: go.sum"),
    "a lock file that is none": ({"package-lock.json": "{"}, [osv("N", NPM, "a")], "unreadable-report", "exit code 3"),
}


@pytest.mark.parametrize("what", NOTHING)
async def test_without_data_that_is_young_enough_nothing_is_known(tmp_path: Path, what: str) -> None:
    files, entries, cause, told = NOTHING[what]
    shop = floor(tmp_path, files)
    if entries:
        keep(shop, *entries)
    ran = await Prover(shop).run(PINS, shop.base)
    assert (ran.result, ran.cause) == ("unevaluated", cause) and told in ran.because, ran


async def test_an_old_archive_that_is_read_today_is_still_old(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"requirements.txt": "a==1\n"})
    keep(shop, osv("P", PYPI, "b", days=400))
    os.utime(folder_of(shop.layout.home) / advisories.FILE)
    assert (await Prover(shop).run(PINS, shop.base)).cause == "old-data"


async def test_with_a_baseline_only_a_release_that_a_change_brings_counts(tmp_path: Path) -> None:
    shop = floor(tmp_path, {"requirements.txt": "a==1\n"})
    keep(shop, osv("A", PYPI, "a", fixed="2"), osv("B", PYPI, "b", fixed="2"))
    base = shop.base
    check = Check(name="dependencies", run="", use="dependencies", report="sarif", baseline=True)
    kept = gitkit.commit(shop.person, {"requirements.txt": "c==1\n\na==1\n"}, "harmless")
    assert (await Prover(shop).change(check, kept, base)).result == "pass"
    worse = gitkit.commit(shop.person, {"requirements.txt": "b==1\na==1\n"}, "worse")
    ran = await Prover(shop).change(check, worse, base)
    assert ran.result == "fail" and "1 new finding, 1 of the base" in ran.because, ran


def test_a_date_in_the_future_makes_nothing_young(tmp_path: Path) -> None:
    advisories.update(tmp_path / "k", archive(tmp_path / "p.zip", osv("P1", PYPI, "a", days=-400), osv("P2", PYPI, "a", days=90)))
    assert advisories.ages(tmp_path / "k")[PYPI].days(int(time.time() * 1000)) == 90


def test_an_update_replaces_one_ecosystem_and_keeps_the_other(tmp_path: Path) -> None:
    home = tmp_path / "kept"
    gone = osv("P2", PYPI, "b", withdrawn="2020-01-01T00:00:00Z")
    advisories.update(home, archive(tmp_path / "p.zip", osv("P1", PYPI, "a"), gone))
    advisories.update(home, archive(tmp_path / "n.zip", osv("N1", NPM, "a")))
    advisories.update(home, archive(tmp_path / "p.zip", osv("P3", PYPI, "a")))
    releases = (Release(PYPI, "a", "1", "r"), Release(NPM, "a", "1.0.0", "l"), Release(PYPI, "b", "1", "r"))
    assert [hit.advisory for hit in advisories.hits(home, releases)] == ["P3", "N1"]
    assert {name: age.advisories for name, age in advisories.ages(home).items()} == {NPM: 1, PYPI: 1}


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_what_is_no_archive_of_advisories_is_refused_and_what_was_kept_stays(tmp_path: Path, content: bytes) -> None:
    advisories.update(tmp_path, archive(tmp_path / "p.zip", osv("P1", PYPI, "a")))
    (tmp_path / "bad.zip").write_bytes(content)
    for bad in (tmp_path / "bad.zip", archive(tmp_path / "empty.zip"), tmp_path / "missing.zip"):
        with pytest.raises(Mistake) as told:
            advisories.update(tmp_path, bad)
        assert str(bad) in told.value.problem.where and "OSV" in f"{told.value.problem.what} {told.value.problem.mend}".upper()
    assert list(advisories.ages(tmp_path)) == [PYPI] and not list(tmp_path.glob(".tmp-*"))


BELOW, LAST = [{"introduced": "0"}, {"fixed": "2.0.0"}], [{"introduced": "0"}, {"last_affected": "1.5"}]
MIDDLE, TWICE = [{"introduced": "1.9"}, {"fixed": "1.11"}], [{"introduced": "0"}, {"fixed": "2"}, {"introduced": "3"}]


@pytest.mark.parametrize(("version", "events", "ecosystem", "inside"), [
    ("1.10", MIDDLE, PYPI, True), ("1.2", MIDDLE, PYPI, False), ("1.11", MIDDLE, PYPI, False), ("2.0rc1", BELOW, PYPI, True),
    ("1.5", LAST, PYPI, True), ("1.6", LAST, PYPI, False), ("3.1", TWICE, PYPI, True), ("2.5", TWICE, PYPI, False),
    ("1.9.20", BELOW, NPM, True), ("10.0.0", BELOW, NPM, False), ("2.0.0-rc.1", BELOW, NPM, True), ("odd", BELOW, PYPI, True)])
def test_ranges_are_read_as_osv_defines_them(version: str, events: list[dict[str, str]], ecosystem: str, inside: bool) -> None:
    affected = {"ranges": [{"type": "SEMVER" if ecosystem == NPM else "ECOSYSTEM", "events": events}]}
    assert advisories.falls_under(version, affected, ecosystem) is inside
    assert advisories.falls_under(version, {"versions": [version], "ranges": []}, ecosystem)
    assert not advisories.falls_under(version, {"versions": [], "ranges": [{"type": "GIT", "events": events}]}, ecosystem)


def test_entries_without_an_exact_release_are_counted() -> None:
    assert locks.read("requirements.txt", "a\nb>=1\nc==1.*\n-r more.txt\nd @ https://x/y\n").loose == 4
