"""The policy of permissions: deny beats ask beats allow, each part of a command counts, and nothing outside is ever allowed."""

import pytest

from andon.core.permissions import rule
from andon.core.state import Ask
from andon.schema.settings import Permissions

HERE = "/c/T1.1"
RULES = Permissions(
    allow=("read", "edit(src/**)", "shell(git status*)", "shell(git log*)", "shell(pytest*)", "shell(cat *)", "shell(grep *)",
           "shell(echo *)", "shell(cd*)", "fetch(docs.python.org)", "mcp(files.read)", "other(WebSearch)"),
    ask=("edit(src/secret/**)", "shell(git log --all*)"),
    deny=("shell(rm *)", "shell(*curl*)", "edit(.git/**)", "edit(**/*.lock)"),
)


def word(deed: str, target: str, *paths: str, tool: str = "Tool", rules: Permissions = RULES) -> str:
    return rule(rules, Ask(ask="a", tool=tool, deed=deed, target=target, paths=paths), HERE).word


ALLOWED = (
    "git status", "git status -s", "pytest -q tests", "git status && git log", "git status; git log", "git log | grep fix",
    "git status\ngit log", "git status 2>&1", "cat src/a.py > /dev/null", "pytest -q 2>/dev/null", "echo hi > src/new.txt",
    "grep -r 'a;b' src", "grep 'x$' src/a.py", f"cat {HERE}/src/a.py", "cat src/../src/a.py", "git log &", "grep -c x < src/a.py",
    "git status || git log", "cat 'two words.txt'", "cat \\\n src/a.py", "grep https://x.org/a src/a.py",
)
ASKED = (
    "make", "git push", "git status && make", "git status; make", "git log | sh", "git status & make", "git log\nmake",
    "cat `which python`", "cat $(ls)", "cat $HOME/x", 'cat "$(ls)"', "cat ${HOME}", "(git status)", "cat <<EOF\nx\nEOF",
    "cat 'unclosed", "", "   ", ";", "FOO=1 git status", "echo hi > Makefile", "echo hi >> pyproject.toml", "git log --all",
    "cat /etc/passwd", "cat ../other/x", "cat ~/.ssh/id_rsa", "cat ~root/x", "/usr/bin/git status", "git status > /tmp/x",
    "git status 2> /tmp/x", "cat --file=/etc/passwd", "cat -I/usr/include", "grep x a:/etc/passwd", "cd .. && git status",
    "cat src/../../x", "cat 'a' \\\n x", "git log #'\nmake #'",
    "echo \"<\" ; make", "echo \">\" ; make", "cd", "cd && cat x", "cd - && cat x", "cd src && echo x > a.py", "cat ;#'\nmake'",
    "cat .*/x", "cat .?/x", f"cat {HERE}x/secret", "cat file:///etc/passwd", "cat {src,/etc}/x",
    "cat 'a b'/../../../x", "git status &&& make", "cat < /etc/passwd", "pytest -c\"/etc/x\"", "echo hi &> out.txt", "x" * 30_000,
)
DENIED = (
    "rm -rf src", "git status && rm x", "git status; rm x", "sudo rm x", "env A=1 rm x", "A=1 rm x", "/bin/rm x",
    "git log | curl x",
    "rm /etc/passwd", "cat `rm x`", "(rm x)", "echo x > .git/hooks/pre-commit", "echo x > uv.lock", "git status\nrm x",
    "cat $(curl x)",
    "rm 'unclosed", "echo \"<\" ; rm y", "r''m x", "r\\\nm x", "cat <(rm x)", "! rm x", "nice rm x",
)


@pytest.mark.parametrize("command", ALLOWED)
def test_a_command_of_which_every_part_is_allowed_is_allowed(command: str) -> None:
    assert word("shell", command) == "allow"


@pytest.mark.parametrize("command", ASKED)
def test_a_command_with_a_part_that_no_pattern_allows_is_for_a_person(command: str) -> None:
    assert word("shell", command) == "ask"


@pytest.mark.parametrize("command", DENIED)
def test_a_command_with_a_denied_part_is_denied_however_it_is_dressed(command: str) -> None:
    assert word("shell", command) == "deny"


@pytest.mark.parametrize("command", [*ALLOWED, *ASKED])
def test_everything_allowed_still_keeps_what_is_outside_or_unclear_for_a_person(command: str) -> None:
    all_allowed = Permissions(default="allow", allow=("*",))
    marks = ("/etc", "..", "~", "/usr", "/tmp", "`", "$(", "$H", "${", "<<", ".*/", ".?/", "x/secret", "#'", "cd &&", "cd -")
    if any(mark in command for mark in marks) and "src/../src" not in command and "cd src" not in command:
        assert word("shell", command, rules=all_allowed) == "ask"
    elif command in ALLOWED:
        assert word("shell", command, rules=all_allowed) == "allow"


FILES = {
    ("edit", "src/a.py"): "allow", ("edit", f"{HERE}/src/a.py"): "allow", ("edit", "src/secret/key"): "ask",
    ("edit", "docs/a.md"): "ask", ("edit", ".git/hooks/x"): "deny", ("edit", "src/uv.lock"): "deny", ("edit", ""): "ask",
    ("edit", "src/../docs/a"): "ask", ("edit", "/etc/hosts"): "ask", ("edit", "../T2.1/src/a.py"): "ask",
    ("read", "anything"): "allow", ("read", "/etc/passwd"): "ask", ("read", "~/.ssh/id_rsa"): "ask", ("read", ""): "ask",
    ("fetch", "https://docs.python.org/3/"): "allow", ("fetch", "https://docs.python.org.evil.com/"): "ask",
    ("fetch", "https://evil.com/?docs.python.org"): "ask", ("fetch", "https://docs.python.org@evil.com/"): "ask",
    ("fetch", "file:///etc/passwd"): "ask", ("other", "x"): "ask",
}


@pytest.mark.parametrize("request_", FILES)
def test_files_and_addresses_are_judged_by_where_they_really_are(request_: tuple[str, str]) -> None:
    assert word(*request_) == FILES[request_]


def test_all_files_of_an_edit_must_be_allowed_and_one_denied_denies_all() -> None:
    assert word("edit", "", "src/a.py", "src/b.py") == "allow"
    assert word("edit", "", "src/a.py", "docs/b.md") == "ask"
    assert word("edit", "", "src/a.py", "/etc/hosts") == "ask"
    assert word("edit", "", "src/a.py", ".git/config") == "deny"
    assert word("other", "query", "/etc/hosts", tool="WebSearch") == "ask"


def test_tools_are_named_as_server_and_tool() -> None:
    assert word("mcp", "", tool="mcp__files__read") == "allow"
    assert word("mcp", "", tool="mcp__files__write") == "ask"
    assert word("mcp", "", "/etc/passwd", tool="mcp__files__read") == "ask"
    assert word("other", "cats", tool="WebSearch") == "allow"


def test_without_patterns_a_person_is_asked_and_the_default_is_said() -> None:
    ask = Ask(ask="a", deed="shell", target="make")
    assert rule(Permissions(), ask, HERE).word == "ask"
    assert rule(Permissions(default="deny"), ask, HERE) == ("deny", "no pattern of [permissions] names it, and default is deny")
    assert rule(Permissions(default="allow"), ask, HERE) == ("allow", "no pattern of [permissions] names it, and default is allow")


def test_a_ruling_names_its_pattern() -> None:
    told = rule(RULES, Ask(ask="a", deed="shell", target="git status && git log"), HERE)
    assert told == ("allow", "allowed by shell(git status*), shell(git log*)")
    assert rule(RULES, Ask(ask="a", deed="shell", target="rm x"), HERE).because == "denied by shell(rm *)"
    assert "/etc/passwd is outside" in rule(RULES, Ask(ask="a", deed="shell", target="cat /etc/passwd"), HERE).because


def test_nothing_is_judged_by_a_part_of_it() -> None:
    assert word("shell", "git status" + " " * 30_000 + "; make") == "ask"
    assert word("shell", "git status" + " " * 15_000 + "; rm x") == "deny"
    assert word("edit", "", *(f"src/{n}.py" for n in range(201))) == "ask"


def test_without_a_checkout_everything_is_outside() -> None:
    assert rule(RULES, Ask(ask="a", deed="read", target="src/a.py"), "").word == "ask"


def test_a_pattern_that_is_no_pattern_names_nothing() -> None:
    odd = Permissions(allow=("", "shell(", "Shell(make)", "(make)", "shell)make("))
    assert word("shell", "make", rules=odd) == "ask"
