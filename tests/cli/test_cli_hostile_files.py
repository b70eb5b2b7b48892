"""Hostile words in the files and streams that verbs read by themselves: settings, diffs, screens, a person's words."""

from pathlib import Path

import pytest

from andon.cli import out
from andon.schema import wire
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, Digest
from andon.schema.layout import layout
from andon.schema.wire import PaneIs
from cli.test_cli_hostile_text import HOSTILE, SGR, hostile, obeyed
from clikit import Caps, a_repository, andon, git
from fakeoffice import FakeDaemon, FakeOffice, a_gate, a_session, a_shop, a_task

ESCAPED = "".join(f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}" for sign in HOSTILE)
"""As TOML may write it in a string of its own."""
SETTINGS = {
    "key": f'"{ESCAPED}" = 1\n', "table": f'["{ESCAPED}"]\nx = 1\n', "value": f'target = "{ESCAPED}"\n',
    "choice": f'[sandbox]\nlevel = "{ESCAPED}"\n', "check": f'[checks."{ESCAPED}"]\nrun = "{ESCAPED}"\nreport = "{ESCAPED}"\n',
    "agent": f'[agents.default]\nuse = "{ESCAPED}"\n', "raw": f"x = {HOSTILE}\n", "glob": f'[policy]\nship = ["{ESCAPED}"]\n',
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("words", [("config", "check"), ("config", "show"), ("init",), ("init", "--show"), ("classify", "HEAD")])
def test_settings_that_an_agent_could_have_written_are_told_as_text(
    capsys: Caps, tmp_path: Path, kind: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo = a_repository(tmp_path / "shop")
    (repo / "andon.toml").write_bytes(SETTINGS[kind].encode("utf-8", "surrogatepass"))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "settings")
    monkeypatch.chdir(repo)
    monkeypatch.setattr(out, "coloured", lambda: True)
    try:
        ran = andon(capsys, *words)
    finally:
        if words == ("init",):  # it starts the daemon
            andon(capsys, "down")
    assert obeyed(SGR.sub("", ran.out + ran.err)) == [], (kind, words)


def test_diffs_screens_and_titles_are_told_as_text(capsys: Caps, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = a_gate(diff=Digest("d" * 64))
    made = FakeOffice(*(hostile(view) for view in (*a_shop("/nowhere"), a_task(), gate, a_session())))
    diff = f"diff --git a/{HOSTILE} b/{HOSTILE}\n@@ -1 +1 @@ {HOSTILE}\n+{HOSTILE}\n-{HOSTILE}\r\n"
    pane = PaneIs(attempt=AttemptId("T1.1"), rows=(f"\x1b[31m{HOSTILE}", HOSTILE), width=80, height=2)

    def answer(request: wire.AnyRequest, push: object) -> wire.AnyReply:
        assert callable(push)
        if isinstance(request, wire.WatchPane):
            push(pane)
            return wire.Done()
        if isinstance(request, wire.GetBlob):
            return wire.BlobIs(text=diff)
        raise Mistake(HOSTILE, where=HOSTILE, mend=HOSTILE)
    made.answer = answer
    said = []
    with FakeDaemon(layout(), made):
        for coloured in (True, False):
            monkeypatch.setattr(out, "coloured", lambda coloured=coloured: coloured)
            for words in (("gate", "show", "G1", "--diff"), ("tail", "T1.1", "--once"), ("add", f"Do {HOSTILE}"), ("why", "T1"),
                          ("show", "HEAD"), ("init", "/no/" + HOSTILE.replace("\0", "")), ("wait", "T1", "--for", "1ms")):
                ran = andon(capsys, *words)
                assert obeyed(SGR.sub("", ran.out + ran.err)) == [], words
                said.append("evil.example" in ran.out + ran.err or "app.quit" in ran.out + ran.err)
    assert sum(said) >= 6, said
