"""The unit files say what they must on any machine, and where no service manager answers that is one clear sentence."""

import os
import plistlib
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from andon import served
from andon.cli.service_units import Around, daemon, door, launchd, quoted, terminals, texts, word
from andon.schema.errors import Mistake
from andon.schema.layout import Layout, layout
from clikit import Caps, andon

SECRET = "sk-do-not-write-this"


def around(place: Layout | None = None, **env: str) -> Around:
    shell = {"PATH": "/bin:/usr/bin", "HOME": "/home/me", **env}
    return Around(place or layout(), "/usr/my python/bin/python", "/usr/bin/tmux", shell, 0o022)


def test_no_secret_of_the_installing_shell_is_written_into_a_unit() -> None:
    made = around(ANTHROPIC_API_KEY=SECRET, GITHUB_TOKEN=SECRET, SSH_AUTH_SOCK=SECRET, LANG="C.UTF-8")
    assert SECRET not in "".join(texts(made).values()) + launchd(made).decode()
    assert "Environment=LANG=C.UTF-8" in daemon(made) and "EnvironmentFile=-" in daemon(made)


def test_words_reach_the_program_as_they_are() -> None:
    assert quoted("plain") == "plain" and quoted("a b") == '"a b"' and quoted("100%") == "100%%"
    assert quoted('say "x"') == '"say \\"x\\""'
    assert word("$HOME/x") == "$$HOME/x" and quoted("A=$B") == "A=$B" and quoted("") == '""'
    assert 'ExecStart="/usr/my python/bin/python" -P -m andon.cli.main daemon' in daemon(around())
    assert "SHELL" not in daemon(around(SHELL="/bin/sh\nExecStart=/bin/evil")), "a line break would begin another setting"


def test_the_analyser_of_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    made = Around(layout(), "/bin/true", shutil.which("tmux") or "/bin/true", {"PATH": "/bin"}, 0o022)
    for name, text in texts(made).items():
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in texts(made) if name.endswith(".service")]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(["systemd-analyze", "--user", "--man=no", "verify", *paths], capture_output=True, text=True, env=env,
                          check=False, timeout=60)
    assert [line for line in done.stderr.splitlines() if "andon" in line] == [], done.stderr


def test_two_factories_of_a_person_have_units_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = layout()
    assert served.name_of(other).startswith("andon-") and f"Environment=ANDON_HOME={other.home}" in daemon(around(other))
    for name in ("ANDON_HOME", "ANDON_CONFIG_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    usual = layout()
    assert served.name_of(usual) == "andon" and "ANDON_HOME" not in daemon(around(usual))
    assert not {*served.units(usual)} & {*served.units(other)}
    assert str(usual.socket) in door(usual) and f"-S {usual.tmux_socket} " in terminals(around(usual))


def test_a_unit_is_ours_by_its_first_line_only() -> None:
    path = served.folder() / served.units(layout())[0]
    assert not served.installed(layout())
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\n")
    assert not served.installed(layout()) and not served.stop(layout())
    path.write_text(daemon(around()))
    assert served.installed(layout())
    assert not served.installed(msgspec.structs.replace(layout(), home=layout().home / "another"))


def test_where_no_manager_answers_it_is_one_clear_sentence(capsys: Caps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    for what in ("install", "status", "remove"):
        ran = andon(capsys, "service", what, "--yes")
        assert ran.code == 2 and "could run the factory as a service" in ran.err and "andon up --foreground" in ran.err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no systemd on this machine" in andon(capsys, "service").err
    assert not served.folder().exists()


def test_a_failed_start_names_the_cause_and_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text('#!/bin/sh\ncase "$*" in *show*) echo Result=start-limit-hit; echo NRestarts=5 ;;\n'
                    '*reset*) ;; *) echo "no"; exit 1 ;; esac\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Mistake, match=r"did not start \(start-limit-hit, after 5 restarts\)") as caught:
        served.start(layout())
    assert "journalctl --user -u" in caught.value.problem.mend


def test_the_launch_agent_is_whole_and_said_to_be_untested() -> None:
    from andon.cli.service_launchd import UNTESTED

    made = plistlib.loads(launchd(around()))
    assert made["KeepAlive"] == {"SuccessfulExit": False} and made["AbandonProcessGroup"] and made["ExitTimeOut"] == 90
    assert made["ProgramArguments"][1:] == ["-P", "-m", "andon.cli.main", "daemon"] and "untested" in UNTESTED
