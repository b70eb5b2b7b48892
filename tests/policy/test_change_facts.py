"""What a change is made of is read from git objects alone: what judges, what comes in, what it touches."""

import asyncio
import shutil
from pathlib import Path

import pytest

from andon.core.classify import classified, watch_of
from andon.core.state import Work
from andon.edges.facts.read import DIFF_LIMIT, read
from andon.schema.facts import Facts, Watch
from andon.schema.ids import AttemptId, Oid
from andon.schema.settings import Policy, Symbols
from andon.schema.verdicts import Classified
from andon_config.compare import comparing
from gitkit import commit, make_repo, run

NONE = Oid("")
NOTHING = Watch()
OPEN = Policy(ship=("**",))
SETTINGS = """\
[checks.tests]
run = "pytest --junitxml={report}"
report = "junit"
minimum_tests = 20
[checks.lint]
run = "ruff check"
[policy]
stop = ["secret/**"]
"""


def facts(repo: Path, watch: Watch = NOTHING) -> Facts:
    """Of the latest commit."""
    base, head = Oid(run(repo, "rev-parse", "HEAD~1")), Oid(run(repo, "rev-parse", "HEAD"))
    return asyncio.run(read(repo / ".git", base, head, watch, comparing(None)))


def judged(repo: Path, policy: Policy = OPEN) -> Classified:
    found = facts(repo, watch_of(policy))
    paths = tuple(run(repo, "diff", "--name-only", "HEAD~1", "HEAD").splitlines())
    return classified(
        policy,
        Work(
            attempt=AttemptId("T1.1"),
            commit=NONE,
            tree=NONE,
            base=NONE,
            base_tree=NONE,
            paths=paths,
            paths_total=len(paths),
            facts=found,
        ),
    )


def rules(repo: Path, policy: Policy = OPEN) -> set[str]:
    return {fact.rule for fact in facts(repo, watch_of(policy)).seen}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repo(
        tmp_path_factory.mktemp("template") / "shop",
        {
            "andon.toml": SETTINGS,
            "docs/a.md": "words\n",
            "src/a.py": "import os\n\n\ndef area(x):\n    return x * x\n",
            "package.json": '{\n  "name": "shop",\n  "dependencies": {\n    "left": "^1.0.0"\n  },\n'
            '  "scripts": {"test": "jest"}\n}\n',
            "pyproject.toml": '[project]\nname = "shop"\ndependencies = ["attrs>=23"]\n\n[tool.coverage.report]\nfail_under = 90\n'
            '[tool.ruff.lint]\nselect = ["E", "F"]\n',
            "Makefile": ".PHONY: test serve\ntest:\n\tpytest\nserve:\n\tpython -m http.server\n",
            ".github/workflows/ci.yml": "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      - run: make test\n",
            ".github/CODEOWNERS": "* @all\nsrc/pay/ @org/Money @org/legal\n",
            "setup.cfg": "[flake8]\nmax-line-length = 100\nignore =\n    E501\n",
        },
    )


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "shop", symlinks=True)
    return tmp_path / "shop"


# --- what judges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('[checks.lint]\nrun = "ruff check"\n', "", "removes check lint"),
        ("minimum_tests = 20", "minimum_tests = 1", "minimum_tests 20 -> 1"),
        ("[policy]\n", '[policy]\nship = ["src/**"]\n', "[policy] ship gains src/**"),
        ("[policy]\n", '[policy]\nwalls = "none"\n', "[policy] walls strict -> none"),
        ('stop = ["secret/**"]', "stop = []", "[policy] stop loses secret/**"),
        ("ruff check", "true", "check lint runs another command"),
        ("[policy]\n", '[stations.review]\nkind = "gate"\nwhen = "never"\n[policy]\n', "when policy -> never"),
        ("[policy]\n", '[lines.build]\nlights = "dark"\n[policy]\n', "lights dim -> dark"),
        ("[policy]\n", '[policy.classes]\nsecurity = "ship"\n[policy]\n', "security stop -> ship"),
        ("[policy]\n", '[sandbox]\nnetwork = "host"\n[policy]\n', "network allow-list -> host"),
    ],
)
def test_a_change_of_the_settings_that_judges_less_stops_and_says_what(repo: Path, old: str, new: str, told: str) -> None:
    commit(repo, {"andon.toml": SETTINGS.replace(old, new)}, "Tidy the settings")
    known = judged(repo)
    assert known.risk == "stop" and told in known.because


def test_a_change_of_the_settings_that_only_judges_more_is_still_reviewed(repo: Path) -> None:
    commit(
        repo, {"andon.toml": SETTINGS.replace("minimum_tests = 20", "minimum_tests = 30") + 'review = ["src/**"]\n'}, "Judge more"
    )
    assert judged(repo).risk == "review" and rules(repo) == {"gate", "owner"}


def test_settings_that_cannot_be_read_stop_with_that_reason(repo: Path) -> None:
    commit(repo, {"andon.toml": SETTINGS + "nonsense = = 1\n"}, "Break")
    known = judged(repo)
    assert known.risk == "stop" and "could not be read" in known.because


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("tests/conftest.py", "def pytest_collection_modifyitems(items):\n    items.clear()\n", "unclear"),
        ("setup.cfg", "[flake8]\nmax-line-length = 100\nignore =\n    E501\n    F401\n", "loosens"),
        ("setup.cfg", "[flake8]\nmax-line-length = 200\nignore =\n    E501\n", "loosens"),
        (
            "pyproject.toml",
            '[project]\nname = "shop"\ndependencies = ["attrs>=23"]\n\n[tool.coverage.report]\nfail_under = 10\n'
            '[tool.ruff.lint]\nselect = ["E", "F"]\n',
            "loosens",
        ),
        (
            "pyproject.toml",
            '[project]\nname = "shop"\ndependencies = ["attrs>=23"]\n\n[tool.coverage.report]\nfail_under = 90\n'
            '[tool.ruff.lint]\nselect = ["E"]\n',
            "loosens",
        ),
        ("package.json", '{"name": "shop", "dependencies": {"left": "^1.0.0"}, "scripts": {"test": "true"}}', "unclear"),
        (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n", "loosens"),
        (
            ".github/workflows/ci.yml",
            "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      - run: make test || true\n",
            "loosens",
        ),
        (".github/CODEOWNERS", "* @all\n", "loosens"),
        ("Makefile", ".PHONY: test serve\ntest:\n\ttrue\nserve:\n\tpython -m http.server\n", "unclear"),
        (".pre-commit-config.yaml", "repos: []\n", "gate"),
        (".gitattributes", "*.py -diff\n", "unclear"),
        (".githooks/pre-commit", "exit 0\n", "loosens"),
        ("ANDON.TOML", "x\n", "unclear"),
    ],
)
def test_what_judges_is_known_whatever_it_is_called(repo: Path, path: str, text: str, rule: str) -> None:
    commit(repo, {path: text}, "Update docs")
    assert rule in rules(repo), facts(repo).seen
    assert judged(repo).risk == ("review" if rule == "gate" else "stop")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v5\n      - run: make test\n"),
        ("Makefile", ".PHONY: test serve\ntest:\n\tpytest\nserve:\n\tpython -m http.server 8080\n"),
        (
            "pyproject.toml",
            '[project]\nname = "shop"\ndependencies = ["attrs>=23"]\n\n[tool.coverage.report]\nfail_under = 95\n'
            '[tool.ruff.lint]\nselect = ["E", "F", "B"]\n',
        ),
    ],
)
def test_what_only_tightens_or_moves_pins_is_reviewed_and_no_more(repo: Path, path: str, text: str) -> None:
    commit(repo, {path: text}, "Bump")
    assert judged(repo).risk == "review" and not {"loosens", "unclear"} & rules(repo)


# --- what comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "before", "after", "rule"),
    [
        ("package.json", '{"dependencies": {"a": "1.0.0"}}', '{"dependencies": {"a": "1.0.1"}}', "dependency"),
        ("package.json", '{"dependencies": {"a": "1.0.0"}}', '{"dependencies": {"a": "1.0.0", "b": "1"}}', "dependency-new"),
        (
            "package.json",
            '{"dependencies": {"a": "1.0.0"}}',
            '{"dependencies": {"a": "git+https://evil.example/a"}}',
            "dependency-source",
        ),
        ("package.json", '{"scripts": {}}', '{"scripts": {"postinstall": "node x.js"}}', "dependency-script"),
        (
            "package-lock.json",
            '{"packages": {"node_modules/a": {"version": "1", "integrity": "sha512-x"}}}',
            '{"packages": {"node_modules/a": {"version": "1", "integrity": "sha512-y"}}}',
            "dependency-altered",
        ),
        (
            "package-lock.json",
            '{"packages": {"node_modules/a": {"version": "1", "resolved": "https://registry.npmjs.org/a/-/a-1.tgz"}}}',
            '{"packages": {"node_modules/a": {"version": "1", "resolved": "https://evil.example/a-1.tgz"}}}',
            "dependency-source",
        ),
        (
            "package-lock.json",
            '{"packages": {"node_modules/a": {"version": "1"}}}',
            '{"packages": {"node_modules/a": {"version": "2", "hasInstallScript": true}}}',
            "dependency-script",
        ),
        ("requirements.txt", "a==1.0\n", "a==1.1\n", "dependency"),
        ("requirements.txt", "a==1.0\n", "a==1.0\nb==2\n", "dependency-new"),
        ("requirements.txt", "a==1.0\n", "--index-url https://evil.example/simple\na==1.0\n", "dependency-source"),
        ("requirements.txt", "a==1.0 --hash=sha256:aa\n", "a==1.0 --hash=sha256:aa --hash=sha256:bb\n", "dependency-altered"),
        (
            "Cargo.lock",
            '[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n',
            '[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "git+https://evil.example/a"\n',
            "dependency-source",
        ),
        ("go.mod", "module x\n\ngo 1.22\n\nrequire a.b/c v1.0.0\n", "module x\n\ngo 1.22\n\nrequire a.b/c v1.0.1\n", "dependency"),
        (
            "go.mod",
            "module x\n\nrequire a.b/c v1.0.0\n",
            "module x\n\nrequire a.b/c v1.0.0\n\nreplace a.b/c => evil.example/c v1.0.0\n",
            "dependency-source",
        ),
        ("go.sum", "a.b/c v1.0.0 h1:aa=\n", "a.b/c v1.0.0 h1:bb=\n", "dependency-altered"),
        ("Gemfile", "gem 'a', '1.0'\n", "gem 'a', '1.0'\ngem 'b'\n", "dependency-new"),
        (
            "pom.xml",
            "<dependencies></dependencies>",
            "<dependency><groupId>g</groupId><artifactId>a</artifactId></dependency>",
            "dependency-new",
        ),
        ("build.gradle", "dependencies {\n}\n", "dependencies {\n  implementation 'g:a:1.0'\n}\n", "dependency-new"),
        ("Dockerfile", "FROM python:3.11\n", "FROM evil/python:3.11\n", "dependency-new"),
        (".npmrc", "a=b\n", "registry=https://evil.example\n", "dependency-source"),
        (
            "poetry.lock",
            '[[package]]\nname = "a"\nversion = "1"\nfiles = [{file = "a", hash = "sha256:x"}]\n',
            '[[package]]\nname = "a"\nversion = "1"\nfiles = [{file = "a", hash = "sha256:y"}]\n',
            "dependency-altered",
        ),
        (
            "yarn.lock",
            'a@^1:\n  version "1.0.0"\n  resolved "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#x"\n',
            'a@^1:\n  version "1.0.0"\n  resolved "https://evil.example/a-1.0.0.tgz#x"\n',
            "dependency-source",
        ),
        ("package.json", "{}", "{", "unread"),
    ],
)
def test_what_comes_in_is_told_apart_from_another_version(tmp_path: Path, path: str, before: str, after: str, rule: str) -> None:
    repo = make_repo(tmp_path / "r", {path: before})
    commit(repo, {path: after}, "Bump")
    seen = {fact.rule for fact in facts(repo).seen} - {"build", "gate", "unclear"}
    assert rule in seen, seen
    assert rule == "dependency" or judged(repo).risk == "stop"


# --- what it touches -------------------------------------------------------------------------------------------------


def test_an_import_of_an_auth_library_inside_a_change_of_the_docs_stops(repo: Path) -> None:
    commit(repo, {"docs/a.md": "more words\n", "docs/conf.py": "import jwt\nproject = 'shop'\n"}, "Update docs")
    known = judged(repo, Policy(ship=("docs/**",)))
    assert known.risk == "stop" and "docs/conf.py:1" in known.because and "jwt" in known.because


def test_words_about_security_in_prose_do_not_stop(repo: Path) -> None:
    commit(repo, {"docs/a.md": "How the login checks a password and a certificate\n"}, "Update docs")
    assert judged(repo).risk == "ship"


def test_a_change_inside_a_watched_symbol_is_found_by_syntax_and_elsewhere_by_text(repo: Path) -> None:
    policy = Policy(ship=("**",), symbols=Symbols(stop=("area",), review=("import:collections", "total")))
    commit(repo, {"src/a.py": "import os\n\n\ndef area(x):\n    return x * x * 1\n"}, "One")
    assert judged(repo, policy).risk == "stop" and "by its syntax" in judged(repo, policy).because
    commit(repo, {"src/b.py": "from collections import deque\n"}, "Two")
    assert judged(repo, policy).risk == "review"
    commit(repo, {"src/c.js": "function total(a) {\n  return a;\n}\n"}, "Three")
    commit(repo, {"src/c.js": "function total(a) {\n  return a + 1;\n}\n"}, "Four")
    assert judged(repo, policy).risk == "review" and "by text" in judged(repo, policy).because


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("src/users.py", "def reset_password(user):\n    return user\n", "security"),
        ("lib/session.js", "res.cookie('sid', id)\n", "security"),
        ("src/run.py", "import subprocess\nsubprocess.run(x, shell=True)\n", "security"),
        ("certs/root.pem", "x\n", "security"),
        ("src/x.py", "name = '\u202eevil'\n", "security"),
        ("shop/migrations/0002_add.py", "operations = []\n", "migration"),
        ("db/change.sql", "DROP TABLE users;\n", "migration"),
        ("api/shop.proto", "message A {}\n", "schema"),
        ("blob.xz", "\0\1\2", "binary"),
        ("logo.png", "\0\1\2", "image"),
    ],
)
def test_what_a_careful_person_would_stop_at_is_seen(repo: Path, path: str, text: str, rule: str) -> None:
    commit(repo, {path: text}, "Polish")
    assert rule in rules(repo), facts(repo).seen


def test_links_submodules_and_executables_are_seen(repo: Path) -> None:
    (repo / "link").symlink_to("/etc/passwd")
    commit(repo, {"run.sh": "echo\n"}, "Link")
    assert "mode" in rules(repo)
    (repo / "run.sh").chmod(0o755)
    commit(repo, {}, "Executable")
    assert rules(repo) == {"executable", "owner"}
    run(repo, "update-index", "--add", "--cacheinfo", f"160000,{run(repo, 'rev-parse', 'HEAD')},vendor/other")
    run(repo, "commit", "-qm", "Vendor")
    assert "submodule" in rules(repo)


def test_a_class_of_data_is_found_by_its_path_and_by_text_on_changed_lines(repo: Path) -> None:
    policy = Policy(ship=("**",), data={"pii": ("src/users/**", "line:birth_date")})
    commit(repo, {"src/users/a.py": "x = 1\n"}, "One")
    assert judged(repo, policy).risk == "stop"
    commit(repo, {"src/b.py": "Birth_Date = 1\n"}, "Two")
    assert judged(repo, policy).risk == "stop" and "src/b.py:1" in judged(repo, policy).because
    commit(repo, {"src/b.py": "Birth_Date = 1\ny = 2\n"}, "Three")
    assert judged(repo, policy).risk == "ship"


def test_owners_are_named_and_those_that_the_policy_lists_raise(repo: Path) -> None:
    policy = Policy(ship=("**",), owners={"@org/money": "stop"})
    commit(repo, {"src/pay/a.py": "x = 1\n", ".github/CODEOWNERS": "* @agent\n"}, "Pay")
    known = judged(repo, policy)
    assert known.reviewers == ("@all", "@org/legal", "@org/money"), "the owners of the base count, not those of the change"
    assert any(one.rule == "owner" and one.risk == "stop" for one in known.findings)


# --- hostile ---------------------------------------------------------------------------------------------------------


def test_names_that_cannot_be_shown_and_diffs_that_cannot_be_read_stop(repo: Path) -> None:
    commit(repo, {"docs/a\nb.md": "x\n"}, "Odd name")
    assert judged(repo).risk == "stop"
    commit(repo, {"docs/big.md": "x" * 79 + "\n" + "word\n" * (DIFF_LIMIT // 5 + 10)}, "Huge")
    known = judged(repo)
    assert known.risk == "stop" and "larger than" in known.because


def test_content_that_looks_like_a_diff_hides_nothing(repo: Path) -> None:
    evil = "diff --git a/docs/x.md b/docs/x.md\n--- a/docs/x.md\n+++ b/docs/x.md\n@@ -1 +1 @@\n-- \n2.40\n"
    commit(repo, {"docs/x.md": evil, "src/z.py": "import jwt\n"}, "Words")
    assert judged(repo).risk == "stop" and "src/z.py:1" in judged(repo).because


def test_hooks_filters_and_drivers_of_the_change_run_nowhere(repo: Path, tmp_path: Path) -> None:
    bait = tmp_path / "ran"
    run(repo, "config", "diff.evil.textconv", f"touch {bait}; cat")
    run(repo, "config", "diff.evil.command", f"touch {bait}")
    commit(repo, {".gitattributes": "*.md diff=evil\n", "docs/a.md": "other\n"}, "Evil")
    assert facts(repo).total and not bait.exists()


def test_a_policy_that_looks_for_more_than_was_looked_for_does_not_take_silence_for_an_answer(repo: Path) -> None:
    commit(repo, {"docs/a.md": "other\n"}, "Words")
    seen = facts(repo)
    policy = Policy(ship=("**",), symbols=Symbols(stop=("login",)))
    work = Work(
        attempt=AttemptId("T1.1"),
        commit=NONE,
        tree=NONE,
        base=NONE,
        base_tree=NONE,
        paths=("docs/a.md",),
        paths_total=1,
        facts=seen,
    )
    assert classified(policy, work).risk == "stop" and "login" in classified(policy, work).because


def test_a_secret_on_a_changed_line_is_in_no_words_of_ours(repo: Path) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    commit(repo, {".githooks/pre-push": f"TOKEN={token}\n"}, "Token")
    seen = facts(repo)
    assert any(fact.rule == "unclear" and "TOKEN=" in fact.what for fact in seen.seen)
    assert not any(token in fact.what for fact in seen.seen)
