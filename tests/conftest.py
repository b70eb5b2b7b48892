"""What every test gets: its own HOME and its own factory, far from the person's."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.edges.sandbox import reached

sys.path.insert(0, str(Path(__file__).parent))


GITCONFIG = "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"


def pytest_report_header() -> str:
    """What flows that are tried as the product ships have around them."""
    best = reached()
    less = f": {best.because} Flows as shipped run without walls, and what is about strict walls is skipped."
    return f"walls: {best.level} {best.tool}".rstrip() + (less if best.level != "strict" else "")


@pytest.fixture(scope="session", autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What fixtures of a wider scope see: a HOME and a git identity of the tests' own, on whatever machine."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GITCONFIG)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started us with nohup did not mean the agents
    with pytest.MonkeyPatch.context() as patch:
        for key, value in surroundings(home, home / "factory").items():
            patch.setenv(key, value)
        yield


def surroundings(home: Path, factory: Path) -> dict[str, str]:
    """The variables that lead away from the person's own files."""
    return {"HOME": str(home), "ANDON_HOME": str(factory), "ANDON_CONFIG_HOME": str(home / "config"),
            "XDG_CONFIG_HOME": str(home / ".config"), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private HOME, ANDON_HOME and git identity; nothing of the person's is read or written."""
    home = tmp_path / "home"
    home.mkdir()
    for key, value in surroundings(home, tmp_path / "factory").items():
        monkeypatch.setenv(key, value)
    for key in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "TMUX", "TMUX_PANE", "ANDON_ATTEMPT", "ANDON_TREE"):
        monkeypatch.delenv(key, raising=False)
    (home / ".gitconfig").write_text(GITCONFIG)
    return home
