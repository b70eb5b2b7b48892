"""How Codex is started: what lies in its home, what it is told, and which settings are mistakes."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from andon.schema.agent import Assignment, Launch
from andon.schema.errors import Mistake
from andon.schema.ids import AttemptId, TaskId
from andon.schema.settings import AgentSettings
from andon_agents.codex import ADAPTER

CODEX = AgentSettings(name="builder", use="codex")


class Place:
    """A checkout, a home, and a program named codex on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("checkout/.git", "job", "bin", "person/.codex"):
            (folder / name).mkdir(parents=True)
        binary = folder / "bin" / "codex"
        binary.write_text("#!/bin/sh\necho codex-cli 9.8.7\n")
        binary.chmod(0o755)

    def launch(self, agent: AgentSettings = CODEX, *, person: Mapping[str, str] | None = None, **more: Any) -> Launch:
        """What the adapter makes of it."""
        told = {"PATH": str(self.folder / "bin"), "HOME": str(self.folder / "person"), "OPENAI_API_KEY": "sk-1", **(person or {})}
        given: dict[str, Any] = {"prompt": "Do it.", **more}
        return ADAPTER.launch(Assignment(
            attempt=AttemptId("T1.1"), task=TaskId("T1"), title="A title", prompt_file=self.folder / "job" / "prompt.md",
            checkout=self.folder / "checkout", job=self.folder / "job", agent=agent, home=self.folder / "home",
            repository=self.folder / "own", person={key: value for key, value in told.items() if value}, **given,
        ))

    def config(self, agent: AgentSettings = CODEX, **more: Any) -> dict[str, Any]:
        """Its settings file."""
        (text,) = [seed.text for seed in self.launch(agent, **more).seeds if seed.path.endswith("config.toml")]
        return tomllib.loads(text)

    def run(self, agent: AgentSettings = CODEX, **more: Any) -> dict[str, Any]:
        """What the program in the pane is told."""
        (text,) = [seed.text for seed in self.launch(agent, **more).seeds if seed.path.endswith(".json")]
        told: dict[str, Any] = json.loads(text)
        return told


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_server_and_screen_meet_at_a_socket_in_the_job_directory(place: Place) -> None:
    told, socket = place.run(), place.folder / "job" / "codex.sock"
    assert told["server"][:2] == [str(place.folder / "bin" / "codex"), "app-server"]
    assert told["server"][-2:] == ["--listen", f"unix://{socket}"]
    assert told["screen"][-4:] == ["--remote", f"unix://{socket}", "--", "Do it."]
    launch = place.launch()
    assert launch.argv[1:3] == ("-I", "-S") and launch.argv[-1] == str(place.folder / "home" / "codex-run.json")
    assert (launch.channel, launch.interactive) == ("app-server", True)
    assert launch.env["CODEX_HOME"] == str(place.folder / "home" / ".codex")


def test_a_conversation_is_resumed_with_the_new_words(place: Place) -> None:
    screen = place.run(resume="01a1", prompt="-v and on")["screen"]
    assert screen[1] == "resume" and screen[-3:] == ["01a1", "--", "-v and on"]
    assert place.run(resume="01a1", prompt="")["screen"][-1] == "01a1"
    assert not any("approval_policy" in one for one in screen), "a resumed screen refuses them"
    assert place.launch(resume="01a1").conversation == "01a1"


def test_a_prompt_too_long_for_a_word_becomes_a_pointer_to_its_file(place: Place) -> None:
    assert str(place.folder / "job" / "prompt.md") in place.run(prompt="x" * 200_000)["screen"][-1]


def test_by_policy_it_has_a_sandbox_and_asks_and_told_to_ask_nothing_it_has_none(place: Place) -> None:
    config = place.config()
    assert (config["approval_policy"], config["sandbox_mode"]) == ("on-request", "workspace-write")
    assert config["sandbox_workspace_write"]["writable_roots"] == [
        str(place.folder / "checkout" / ".git"), str(place.folder / "job" / "outbox")]
    bold = AgentSettings(name="b", use="codex", approve="all")
    assert (place.config(bold)["approval_policy"], place.config(bold)["sandbox_mode"]) == ("never", "danger-full-access")
    assert 'sandbox_mode="danger-full-access"' in place.run(bold)["server"], "nothing in the checkout outranks it"
    assert any("asks nothing" in note for note in place.launch(bold).notes)


def test_a_linked_worktree_may_write_its_own_and_the_shared_git_directory(place: Place) -> None:
    (place.folder / "checkout" / ".git").rmdir()
    own = place.folder / "own" / ".git" / "worktrees" / "w"
    own.mkdir(parents=True)
    (place.folder / "checkout" / ".git").write_text(f"gitdir: {own}\n")
    assert place.config()["sandbox_workspace_write"]["writable_roots"][:2] == [str(own), str(own.parents[1])]
    moved = place.folder / "main" / ".git"
    (place.folder / "own" / ".git").rename(place.folder / "main.git")
    moved.parent.mkdir()
    (place.folder / "main.git").rename(moved)
    (place.folder / "own" / ".git").write_text(f"gitdir: {moved}/worktrees/person\n")
    (place.folder / "checkout" / ".git").write_text(f"gitdir: {moved}/worktrees/w\n")
    assert place.config()["sandbox_workspace_write"]["writable_roots"][:2] == [f"{moved}/worktrees/w", str(moved)]


@pytest.mark.parametrize("planted", ["gitdir: {}/person", "gitdir: {}/person/worktrees/x", "gitdir: a\0b", "link", "pipe"])
def test_what_an_earlier_sitting_left_for_a_git_directory_opens_nothing_of_the_persons(place: Place, planted: str) -> None:
    there = place.folder / "checkout" / ".git"
    there.rmdir()
    if planted == "link":
        there.symlink_to(place.folder / "person")
    elif planted == "pipe":
        os.mkfifo(there)
    else:
        there.write_text(planted.format(place.folder) + "\n")
    roots = place.config()["sandbox_workspace_write"]["writable_roots"]
    assert set(roots) <= {str(there), str(place.folder / "job" / "outbox")}


@pytest.mark.parametrize(("agent", "person", "more", "address"), [
    (CODEX, {}, {}, "https://api.openai.com/v1"),
    (CODEX, {"OPENAI_BASE_URL": "https://proxy/v1"}, {}, "https://proxy/v1"),
    (AgentSettings(name="b", use="codex", upstream="https://other/v1/"), {}, {}, "https://other/v1"),
    (CODEX, {"OPENAI_BASE_URL": "https://proxy/v1"}, {"gateway": "http://127.0.0.1:9/s/t"}, "http://127.0.0.1:9/s/t"),
])
def test_the_address_is_the_gateways_then_the_settings_then_the_persons_then_openais(
    place: Place, agent: AgentSettings, person: dict[str, str], more: dict[str, str], address: str,
) -> None:
    config = place.config(agent, person=person, **more)
    provider = config["model_providers"][config["model_provider"]]
    assert (provider["base_url"], provider["env_key"], provider["wire_api"]) == (address, "OPENAI_API_KEY", "responses")
    assert "sk-1" not in json.dumps(config), "a key is never written"


def test_a_copied_login_keeps_its_own_provider_and_says_that_no_gateway_stands_before_it(place: Place) -> None:
    (place.folder / "person" / ".codex" / "auth.json").write_text("{}")
    agent = AgentSettings(name="b", use="codex", login="copy")
    assert "model_provider" not in place.config(agent)
    launch = place.launch(agent)
    assert [seed.copy for seed in launch.seeds if seed.copy] == [str(place.folder / "person" / ".codex" / "auth.json")]
    assert any(note.startswith("no gateway") for note in launch.notes)
    assert not [seed for seed in place.launch().seeds if seed.copy], "without consent nothing is copied"


def test_checkout_and_repository_are_trusted_verbs_are_served_and_nothing_updates_itself(place: Place) -> None:
    config = place.config(mcp=("/usr/bin/python3", "-m", 'a "b"'))
    assert set(config["projects"]) == {str(place.folder / "checkout"), str(place.folder / "own")}
    verbs = config["mcp_servers"]["andon"]
    assert (verbs["command"], verbs["args"]) == ("/usr/bin/python3", ["-m", 'a "b"'])
    assert verbs["env"]["ANDON_JOB"] == str(place.folder / "job") and "OPENAI_API_KEY" not in verbs["env"]
    assert config["check_for_update_on_startup"] is False and config["features"]["daemon_auto_start"] is False


def test_settings_of_the_person_go_to_server_and_screen_the_rest_to_the_screen(place: Place) -> None:
    told = place.run(AgentSettings(name="b", use="codex", model="m", args=("-c", "a=1", "--enable", "goals", "--search")))
    assert told["screen"][1:6] == ["-c", "a=1", "--enable", "goals", "--search"]
    assert "--search" not in told["server"] and told["server"][6:10] == ["-c", "a=1", "--enable", "goals"]
    assert place.config(AgentSettings(name="b", use="codex", model="m"))["model"] == "m"


@pytest.mark.parametrize(("agent", "person", "words"), [
    (CODEX, {"OPENAI_API_KEY": ""}, ("cannot log in", "[agents.builder]", "codex login")),
    (AgentSettings(name="builder", use="codex", login="copy"), {}, ("no login", "[agents.builder]", "codex login")),
    (CODEX, {"PATH": "/nowhere"}, ("not installed", "[agents.builder]", "npm install")),
    (AgentSettings(name="builder", use="codex", command=("x",)), {}, ("both", "[agents.builder]", "remove command")),
])
def test_wrong_settings_are_mistakes_with_what_where_and_mend(
    place: Place, agent: AgentSettings, person: dict[str, str], words: tuple[str, ...],
) -> None:
    with pytest.raises(Mistake) as caught:
        place.launch(agent, person=person)
    problem = caught.value.problem
    assert words[0] in problem.what and words[1] in problem.where and words[2] in problem.mend


def test_a_login_is_looked_for_without_asking_anybody(place: Place) -> None:
    home = {"HOME": str(place.folder / "person")}
    assert ADAPTER.login(CODEX, {**home, "OPENAI_API_KEY": "x"}).state == "ready"
    assert ADAPTER.login(CODEX, home).state == "missing"
    copied = AgentSettings(name="b", use="codex", login="copy")
    assert ADAPTER.login(copied, home).state == "missing"
    (place.folder / "person" / ".codex" / "auth.json").write_text("{}")
    assert ADAPTER.login(copied, home).state == "ready"
    other = AgentSettings(name="b", use="codex", args=("-c", 'model_provider="azure"'))
    assert ADAPTER.login(other, home).state == "unknown"


def test_the_version_is_asked_once_for_each_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.folder / "bin"))
    (one,) = ADAPTER.detect()
    assert (one.adapter, one.binary, one.version) == ("codex", str(place.folder / "bin" / "codex"), "9.8.7")
    monkeypatch.setenv("PATH", "/nowhere")
    assert ADAPTER.detect() == ()
