"""A proof runs as a check does: within strict walls, by our own program, on the base and on the change."""

import sys
from pathlib import Path

import msgspec
import pytest

from andon.core.stations.check import definition_of, verdict
from andon.edges import ourselves
from andon.edges.blobs import Blobs
from andon.edges.check import Checks
from andon.edges.keys import Keys
from andon.edges.proving import Proving
from andon.schema import proofs
from andon.schema.effects import RunCheck
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.inputs import CheckRan
from andon.schema.settings import Check, Checkout, Settings, Walls
from checkoutkit import REPO, Floor, floor
from factory import AS_SHIPPED, git
from landingkit import change

API = Check(name="api", run="andon prove api --report {report}", report="junit")
TAKEN = {"src/shop/__init__.py": "def total(items): ...\ndef refund(item, why=''): ...\n",
         "griffe.py": "raise SystemExit(0)\n", "andon/__init__.py": "raise SystemExit(0)\n", "json.py": "raise SystemExit(0)\n"}
"""With modules at its root that would be ours, if they were taken for them."""


@pytest.fixture
def shop(tmp_path: Path) -> Floor:
    return floor(tmp_path, {**TAKEN, "src/shop/data.py": "RATE = 7\n"})


def tree(shop: Floor, commit: str) -> str:
    """The tree of a commit."""
    return git(shop.person, "rev-parse", f"{commit}^{{tree}}")


async def run(shop: Floor, commit: str, check: Check = API, *, base: str = "", run: str = "R1") -> CheckRan:
    """The check on a commit, within strict walls."""
    effect = RunCheck(
        run=RunId(run), repo=REPO, git_dir=str(shop.git_dir), commit=Oid(commit), tree=Oid(tree(shop, commit)), check=check,
        definition=Digest("d"), checkout=Checkout(), walls=Walls(level="strict", baits=False), base_names=Digest(base))
    verifier = Keys.load(shop.layout.keys).verifier
    return await Checks(shop.layout, Proving(shop.layout), Blobs(shop.layout), verifier).run(effect)


@pytest.mark.skipif(not AS_SHIPPED, reason="this machine gives no strict walls")
async def test_a_removed_function_fails_its_check_by_name_against_the_base(shop: Floor) -> None:
    before = await run(shop, shop.base)
    assert (before.result, before.walls) == ("pass", "strict"), before.tail
    after = change(shop, {"src/shop/__init__.py": "def total(items, tax=7): ...\n"})
    seen = await run(shop, after, base=before.names, run="R2")
    result, because = verdict(seen, seen.lost_tests)
    assert result == "fail" and "api shop::refund()" in because and "api shop::refund()" in seen.lost_tests
    assert not [name for name in seen.lost_tests if "total" in name]


@pytest.mark.skipif(not AS_SHIPPED, reason="this machine gives no strict walls")
async def test_a_proof_that_cannot_look_is_unevaluated_and_says_why(shop: Floor) -> None:
    seen = await run(shop, shop.base, Check(name="s", run="andon prove build --root src --report {report}", report="junit"))
    assert (seen.result, seen.cause) == ("unevaluated", "proof") and "build system" in seen.because, (seen.because, seen.tail)


def test_our_program_is_ours_whatever_the_path_and_the_checkout_say() -> None:
    assert not any((ourselves.program("pytest -q"), ourselves.function("pytest -q"), ourselves.folders("pytest -q")))
    words = ourselves.program("andon prove api")
    assert words[0] == sys.executable and words[1] in ("-I", "-P")


def test_facts_of_another_format_are_never_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, plain = Settings(), Check(name="t", run="pytest")
    before = definition_of(API, settings), definition_of(plain, settings)
    monkeypatch.setattr(proofs, "FORMAT", "another")
    after = definition_of(API, settings), definition_of(plain, settings)
    assert before[0] != after[0] and before[1] == after[1]
    assert definition_of(msgspec.structs.replace(plain, run="pytest "), settings) != before[1]


@pytest.mark.skipif(not AS_SHIPPED, reason="this machine gives no strict walls")
async def test_a_clean_build_and_a_journey_need_nothing_beyond_the_walls_of_a_check(tmp_path: Path) -> None:
    server = ("import http.server as h, os\n"
              "h.test(h.SimpleHTTPRequestHandler, port=int(os.environ['PORT']), bind='127.0.0.1')\n")
    journey = (f'[[step]]\nname = "it boots"\nstart = "{sys.executable} -S server.py"\nready = {{ http = "/" }}\n'
               '[[step]]\nname = "it answers"\nhttp = "GET /"\nbody = ["server.py"]\n')
    shop = floor(tmp_path, {"setup.py": "from setuptools import setup\nsetup(name='till', version='1', py_modules=['till'])\n",
                            "till.py": "TAX = 7\n", "server.py": server, "j.toml": journey})
    word = f"andon prove build --python {sys.executable} --report {{report}}"
    built = await run(shop, shop.base, Check(name="b", run=word, report="junit", memory_mb=0))
    assert (built.result, built.walls) == ("pass", "strict"), (built.because, built.tail)
    word = "andon prove journey j.toml --report {report}"
    driven = await run(shop, shop.base, Check(name="j", run=word, report="junit"), run="R2")
    assert (driven.result, driven.passed, driven.walls) == ("pass", 4, "strict"), (driven.because, driven.tail)
