"""What no text may say and no code may open: destructive commands in what people read, network doors in the daemon."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from wholekit import DESTRUCTIVE

ROOT = Path(__file__).resolve().parents[2]
NETWORK = {
    "aiohttp", "anthropic", "ftplib", "google", "grpc", "http", "httplib2", "httpx", "litellm", "mcp", "openai", "requests",
    "smtplib", "socketserver", "ssl", "telnetlib", "urllib3", "websocket", "websockets", "xmlrpc",
}
"""Modules that can talk to another machine."""
ACTING = "agents/andon_agents/acting/"
"""The scripted agent plays at a terminal, in its own checkout: what it types is no error text."""
JOURNEYS = "daemon/andon/proofs/journey_http.py"
"""A journey's requests to the application that it started: this machine alone, which tests of journeys hold."""
DOWNLOADS = {"agents/andon_agents/demo/fetch.py"}
"""`andon demo` fetches its sample project; it is run by the command line, before any daemon."""
GATEWAY = "daemon/andon/gateway/"
"""The one program that passes model calls on, for agents that were given its address; it calls none itself."""
CHANNELS = {
    "agents/andon_agents/codex_channel.py", "agents/andon_agents/opencode_http.py",  # an agent's own server, on this machine
    "agents/andon_agents/door.py",  # the same behind walls, by a unix socket
    "agents/andon_agents/verbs_server.py",  # our verbs for agents, over a pipe
}
"""Where an agent is spoken to by its own API, or speaks to us."""
PROBES = {"daemon/andon/edges/gateway.py"}
"""Asks our own gateway on loopback whether it is there."""
WALLS = {
    "daemon/andon/edges/doors.py",  # ports of a job's own loopback, in the job's own network
    "daemon/andon/edges/attacks.py", "daemon/andon/edges/attempts.py",  # a server of the attack matrix, and who must not reach it
    "agents/andon_agents/codex_run.py",  # waits for the server that it started beside it
}
"""Speak and listen on loopback alone: every address in them is that one."""


def sources() -> list[Path]:
    """The Python files of all rooms."""
    rooms = ("daemon/andon", "tui/andon_tui", "agents/andon_agents", "config/andon_config")
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py")) if "/demo/pocket/" not in str(path)]


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string of a module that is no docstring, those with places to fill in as one text."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | parts):
            yield node.lineno, node.value


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names of all modules that a module imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_network(name: str) -> bool:
    """Whether this import can lead off the machine."""
    return name.split(".")[0] in NETWORK or name.startswith("urllib.request")


def test_no_text_of_the_product_carries_a_destructive_command() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}: {text}" for path in sources() if ACTING not in str(path)
             for line, text in texts(ast.parse(path.read_text())) if DESTRUCTIVE.search(text)]
    assert found == []


def test_the_search_for_destructive_commands_finds_them() -> None:
    code = 'Mistake("x", mend=f"git -C {path} reset --hard")\nProblem(mend="run `rm -rf .git/andon` first")\nuse("git", "reset")'
    assert [line for line, text in texts(ast.parse(code)) if DESTRUCTIVE.search(text)] == [1, 2]
    for bad in ("git clean -fdx", "git push --force", "git branch -D x", "git checkout -- .", "git worktree prune", "kill -9 7"):
        assert DESTRUCTIVE.search(bad), bad
    for good in ("git branch main", "git fetch --no-prune", "git checkout --track x", "git clean --dry-run", "--force-with-lease"):
        assert not DESTRUCTIVE.search(good), good


def test_no_code_of_ours_can_call_a_model_or_any_other_machine() -> None:
    found = [f"{path.relative_to(ROOT)}: {name}" for path in sources() if str(path.relative_to(ROOT)) not in DOWNLOADS | {JOURNEYS}
             for name in imported(ast.parse(path.read_text())) if is_network(name)]
    spoken = CHANNELS | {str(path.relative_to(ROOT)) for path in sources() if str(path.relative_to(ROOT)).startswith(GATEWAY)}
    assert [one for one in found if one.partition(":")[0] not in spoken] == []
    assert {is_network(name) for name in ("httpx", "http.client", "urllib.request.urlopen", "openai.OpenAI")} == {True}


def test_sockets_are_opened_in_few_places_and_only_on_this_machine() -> None:
    opening = ("AF_INET", "create_connection", "open_connection", "asyncio.start_server", "create_server", "getaddrinfo",
               "create_datagram")
    found = [f"{path.relative_to(ROOT)}: {word}" for path in sources() for word in opening
             if str(path.relative_to(ROOT)) not in DOWNLOADS | PROBES | WALLS and word in path.read_text()]
    assert found == []
    for name in WALLS:
        text = (ROOT / name).read_text()
        assert set(re.findall(r'"\d+\.\d+\.\d+\.\d+"|"::[^"]*"|"localhost"|"0\.0[^"]*"', text)) == {'"127.0.0.1"'}, name
    for name in PROBES:
        assert 'open_connection("127.0.0.1"' in (ROOT / name).read_text()


def test_a_whole_daemon_loads_no_client_of_the_network() -> None:
    code = ("import sys, andon.main, andon_config.load, andon_agents.find\n"
            "print(sorted({'http.client', 'urllib.request', 'httpx', 'requests', 'aiohttp'} & set(sys.modules)))")
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
