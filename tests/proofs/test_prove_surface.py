"""What a change takes away from the surface of a program is missed by its name, and what it adds is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from andon.edges.report import judge
from andon.proofs.fact import Fact, Unevaluated, distinct, read, report
from andon.schema.errors import Mistake
from andon.schema.jobs import Exit
from andon.schema.proofs import UNEVALUATED_EXIT
from andon.schema.settings import Check
from clikit import Caps, andon
from provekit import facts, lay, names

SHOP = {
    "src/shop/__init__.py": '''\
        """A shop."""
        import json
        from os import path
        from .cart import Cart, total
        __all__ = ["Cart", "total", "RATE"]
        RATE = 7
        def unlisted(): ...
        ''',
    "src/shop/cart.py": '''\
        from __future__ import annotations
        def total(items, /, tax: int = 7, *, strict=False) -> int: ...
        def _hidden(): ...
        class Base:
            def empty(self, now): ...
        class Cart(Base):
            size: int = 3
            def add(self, item, count=1): ...
            def _inner(self): ...
        ''',
}


def lost(tmp_path: Path, file: str, old: str, new: str) -> set[str]:
    """What is missed of the API after this edit."""
    lay(tmp_path, SHOP)
    before = names(facts("api", tmp_path))
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return before - names(facts("api", tmp_path))


def test_public_names_are_those_that_a_caller_may_use(tmp_path: Path) -> None:
    found = names(facts("api", lay(tmp_path, SHOP)))
    assert {"api shop: total()", "api shop: class Cart", "api shop: RATE", "api shop.cart: Cart.empty()"} <= found
    assert not [name for name in found for word in ("_hidden", "_inner", "unlisted", "path", "json") if word in name]


def test_a_removed_function_is_missed_by_name(tmp_path: Path) -> None:
    gone = lost(tmp_path, "src/shop/cart.py", "def add(self, item, count=1): ...", "pass")
    assert {"api shop.cart: Cart.add()", "api shop: Cart.add()"} <= gone
    assert not [name for name in gone if "total" in name]


@pytest.mark.parametrize(("old", "new", "missed"), [
    ("tax: int = 7", "rate: int = 7", "total() takes #2 tax = 7"),
    ("tax: int = 7", "tax: int = 8", "total() takes #2 tax = 7"),
    ("items, /, tax: int = 7", "items, more, /, tax: int = 7", "total() needs by position"),
    ("item, count=1", "item, count", "Cart.add() needs item"),
    ("*, strict=False", "*", "total() takes by name strict = False"),
])
def test_a_changed_signature_is_missed_by_what_a_caller_would_miss(tmp_path: Path, old: str, new: str, missed: str) -> None:
    new = "**rest" if new == "*" else new
    assert f"api shop.cart: {missed}" in lost(tmp_path, "src/shop/cart.py", old, new)


@pytest.mark.parametrize(("old", "new"), [
    ("item, count=1", "item, count=1, gift=False"),
    ("tax: int = 7", "tax: float = 7"),
    ("class Cart(Base):", "def added(): ...\nclass Cart(Base):"),
    ("class Cart(Base):", "class Middle(Base): ...\nclass Cart(Middle):"),
    ("items, /", "things, /"),
])
def test_what_no_caller_notices_is_not_missed(tmp_path: Path, old: str, new: str) -> None:
    assert lost(tmp_path, "src/shop/cart.py", old, new) == set()


def test_reading_an_api_runs_none_of_it(tmp_path: Path) -> None:
    lay(tmp_path, {"src/loud/__init__.py": "import pathlib\npathlib.Path('ran').write_text('x')\ndef f(): ...\n"})
    assert "api loud: f()" in names(facts("api", tmp_path))
    assert not (tmp_path / "ran").exists() and not (Path.cwd() / "ran").exists()


def test_a_named_package_that_is_gone_fails_and_nothing_at_all_is_unevaluated(tmp_path: Path) -> None:
    assert names(facts("api", tmp_path, "shop"), "fails") == {"api shop: module"}
    with pytest.raises(Unevaluated, match="no Python package"):
        facts("api", tmp_path)


PROGRAM = """\
    import argparse
    parser = argparse.ArgumentParser(prog="till")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    verbs = parser.add_subparsers(title="commands")
    sell = verbs.add_parser("sell", help="sell it")
    sell.add_argument("--price", type=int)
    deep = verbs.add_parser("stock").add_subparsers()
    deep.add_parser("count").add_argument("--all", action="store_true")
    parser.parse_args()
    """
CLICK = """\
    import click
    @click.group()
    @click.option("--loud/--quiet")
    def main(loud): ...
    @main.command()
    @click.option("-n", "--name", help="whom")
    def greet(name): ...
    @main.group()
    def admin(): ...
    @admin.command()
    @click.option("--all", "every", is_flag=True)
    def drop(every): ...
    main()
    """


def test_help_is_walked_through_all_subcommands(tmp_path: Path) -> None:
    lay(tmp_path, {"till.py": PROGRAM})
    program = f"{sys.executable} till.py"
    found = names(facts("cli", tmp_path, program))
    assert {f"cli {program}: option --verbose", f"cli {program}: option -v", f"cli {program}: command sell",
            f"cli {program} sell: option --price", f"cli {program} stock count: option --all"} <= found
    (tmp_path / "till.py").write_text((tmp_path / "till.py").read_text().replace("--price", "--cost"))
    assert found - names(facts("cli", tmp_path, program)) == {f"cli {program} sell: option --price"}


def test_help_of_another_library_is_read_too(tmp_path: Path) -> None:
    lay(tmp_path, {"hello.py": CLICK})
    program = f"{sys.executable} hello.py"
    found = names(facts("cli", tmp_path, program))
    assert {f"cli {program}: option --quiet", f"cli {program}: command greet", f"cli {program} greet: option -n",
            f"cli {program} admin drop: option --all"} <= found


def test_a_program_that_is_not_there_is_unevaluated_and_one_whose_help_breaks_fails(tmp_path: Path) -> None:
    with pytest.raises(Unevaluated, match="no program"):
        facts("cli", tmp_path, "no-such-program-here")
    lay(tmp_path, {"broken.py": "raise SystemExit('no settings')"})
    [fact] = facts("cli", tmp_path, f"{sys.executable} broken.py")
    assert fact.state == "fails" and "no settings" in fact.told


SCHEMAS = {
    "pet.json": '{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["name"],'
                ' "properties": {"name": {"type": "string"}, "kind": {"enum": ["cat", "dog"]}, "tags": {"type": "array",'
                ' "items": {"type": "object", "properties": {"word": {"type": "string"}}}}}}',
    "api.yaml": """\
        openapi: 3.1.0
        paths:
          /pets/{id}:
            get:
              parameters:
                - {in: path, name: id, required: true, schema: {type: integer}}
                - {in: query, name: full, schema: {type: boolean}}
              responses:
                200: {content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
            delete: {responses: {204: {description: gone}}}
        components: {schemas: {Pet: {type: object, required: [name], properties: {name: {type: string}, age: {type: integer}}}}}
        """,
    "sql/1.sql": "CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INT);\nCREATE INDEX by_name ON pets(name);",
    "sql/2.sql": "ALTER TABLE pets ADD COLUMN owner TEXT;\nALTER TABLE pets DROP COLUMN age;",
    "pets.proto": """\
        syntax = "proto3";
        package pets.v1;
        message Pet { string name = 1; repeated int32 weights = 2; oneof at { string home = 3; } enum Kind { CAT = 0; DOG = 1; } }
        service Pets { rpc Get (Pet) returns (stream Pet); }
        """,
}
ALL = ("pet.json", "api.yaml", "sql/*.sql", "*.proto")


@pytest.mark.parametrize(("file", "old", "new", "missed"), [
    ("pet.json", '"tags"', '"labels"', "schema pet.json: tags[].word: string"),
    ("pet.json", '"required": ["name"]', '"required": []', "schema pet.json: document requires name"),
    ("pet.json", ', "dog"', "", 'schema pet.json: kind may be "dog"'),
    ("api.yaml", "delete: {responses: {204: {description: gone}}}", "", "schema api.yaml DELETE /pets/{id}: route"),
    ("api.yaml", "name: full,", "name: full, required: true,", "schema api.yaml GET /pets/{id}: needs path id"),
    ("api.yaml", "age: {type: integer}", "age: {type: string}", "schema api.yaml Pet: age: integer"),
    ("sql/2.sql", "ADD COLUMN owner TEXT", "ADD COLUMN holder TEXT", "schema sql: column pets.owner: TEXT"),
    ("sql/1.sql", "name TEXT NOT NULL", "name TEXT", "schema sql: column pets.name: TEXT NOT NULL"),
    ("pets.proto", "string name = 1", "string name = 4", "schema proto pets.v1: field Pet.name = 1: string"),
    ("pets.proto", "returns (stream Pet)", "returns (Pet)", "schema proto pets.v1: call Pets.Get(Pet) returns (stream Pet)"),
    ("pets.proto", "DOG = 1;", "", "schema proto pets.v1: value Pet.Kind.DOG = 1"),
])
def test_what_a_schema_no_longer_says_is_missed_by_name(tmp_path: Path, file: str, old: str, new: str, missed: str) -> None:
    lay(tmp_path, SCHEMAS)
    before = names(facts("schema", tmp_path, *ALL))
    path = tmp_path / file
    assert old in path.read_text() and missed in before
    path.write_text(path.read_text().replace(old, new))
    assert missed in before - names(facts("schema", tmp_path, *ALL))


def test_migrations_are_read_to_what_stands_after_them(tmp_path: Path) -> None:
    found = names(facts("schema", lay(tmp_path, SCHEMAS), "sql/*.sql"))
    assert "schema sql: column pets.owner: TEXT" in found and not [name for name in found if "pets.age" in name]


@pytest.mark.parametrize(("file", "text"), [
    ("bad.proto", "message {"), ("bad.json", "{"), ("bad.yaml", "- a\n- b\n"), ("bad.sql", "CREATE TABLE (((;"), ("bad.txt", "?"),
    ("other.json", '{"name": "no schema"}'),
])
def test_a_schema_that_cannot_be_read_is_unevaluated(tmp_path: Path, file: str, text: str) -> None:
    lay(tmp_path, {file: text})
    with pytest.raises(Unevaluated, match=file.replace(".", r"\.")):
        facts("schema", tmp_path, file)


def test_a_golden_file_is_held_by_its_bytes_and_a_pattern_without_files_fails(tmp_path: Path) -> None:
    lay(tmp_path, {"out/a.txt": "one"})
    before = names(facts("golden", tmp_path, "out/*.txt"))
    lay(tmp_path, {"out/a.txt": "two"})
    after = facts("golden", tmp_path, "out/*.txt", "none/*.txt")
    assert before - names(after) == {name for name in before if "sha256" in name}
    assert names(after, "fails") == {"golden: none/*.txt"}
    with pytest.raises(Mistake, match="leads out"):
        facts("golden", tmp_path, "../*")


def test_tests_are_held_by_the_names_that_a_runner_collects(tmp_path: Path) -> None:
    lay(tmp_path, {"test_x.py": "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_n(n): ...\ndef test_gone(): ...\n"})
    command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    before = names(facts("tests", tmp_path, command=command))
    assert before == {"tests: test_x.py::test_n[1]", "tests: test_x.py::test_n[2]", "tests: test_x.py::test_gone"}
    lay(tmp_path, {"test_x.py": "def test_n("})
    with pytest.raises(Unevaluated, match="could not be collected"):
        facts("tests", tmp_path, command=command)


def test_the_verb_writes_a_report_compares_with_an_earlier_one_and_says_what_went(tmp_path: Path, capsys: Caps) -> None:
    lay(tmp_path, SHOP)
    before = tmp_path / "before.xml"
    assert andon(capsys, "prove", "api", "--root", str(tmp_path), "--report", str(before)).code == 0
    assert {case.state for case in read(before)} == {"passed"}
    path = tmp_path / "src/shop/cart.py"
    path.write_text(path.read_text().replace("def total(", "def summed("))
    init = tmp_path / "src/shop/__init__.py"
    init.write_text(init.read_text().replace("total", "summed"))
    ran = andon(capsys, "prove", "api", "--root", str(tmp_path), "--base", str(before))
    assert ran.code == 1 and "fails: api shop.cart: total(): it held before and is gone now" in ran.out


def test_what_cannot_be_looked_at_has_its_own_exit_code_and_is_no_pass_in_the_report(tmp_path: Path, capsys: Caps) -> None:
    path = tmp_path / "r.xml"
    ran = andon(capsys, "prove", "api", "--root", str(tmp_path), "--report", str(path))
    assert ran.code == UNEVALUATED_EXIT and "unevaluated: api: can be looked at: no Python package" in ran.out
    assert [case.state for case in read(path)] == ["skipped"]


def test_long_names_stay_apart_in_a_report_and_are_not_cut_by_who_reads_it(tmp_path: Path) -> None:
    long = [Fact(group="g" * 200 + end, name="n" * 400 + end) for end in ("a", "b")]
    (tmp_path / "r.xml").write_bytes(report("api", distinct(long)))
    seen = judge(Check(name="c", run="x", report="junit"), Exit(code=0), tmp_path / "r.xml")
    assert seen.passed == 2 and all(len(name) < 300 for name in seen.names)


def test_kinds_are_listed_and_a_wrong_one_names_the_nearest(capsys: Caps) -> None:
    listed = json.loads(andon(capsys, "prove", "--json").out)
    assert {"api", "cli", "schema", "journey", "build", "matrix"} <= {one["kind"] for one in listed}
    wrong = andon(capsys, "prove", "scheme")
    assert wrong.code == 2 and "did you mean `schema`?" in wrong.err


def test_anybody_can_bring_a_kind_of_their_own(tmp_path: Path) -> None:
    lay(tmp_path, {
        "mine.py": "from andon.proofs.fact import Fact\nHELP = 'mine'\ndef arguments(parser): ...\n"
                   "def facts(args, root):\n    yield Fact(group='mine', name='is here')\n",
        "mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
        "mine-1.dist-info/entry_points.txt": "[andon.proofs]\nmine = mine\n",
    })
    code = "import sys\nfrom andon.cli.main import main\nsys.exit(main(['prove', 'mine']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30,
                          env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"})
    assert (done.returncode, done.stdout.strip()) == (0, "mine: 1 hold")


def test_a_proof_loads_neither_the_screen_nor_the_daemon() -> None:
    code = ("import sys\nfrom andon.cli.main import main\nmain(['prove'])\n"
            "cold = ('andon.core', 'andon.edges', 'textual', 'griffe', 'sqlglot', 'aiohttp')\n"
            "bad = [name for name in sys.modules if name.startswith(cold)]\n"
            "print(bad, file=sys.stderr)\nsys.exit(bool(bad))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
