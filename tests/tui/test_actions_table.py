"""One table makes keys, footer, help, palette and docs; and a key does something only where it means something."""

import ast
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.screen import Screen

import andon_tui
from andon_tui import actions
from andon_tui.app import AndonApp
from andon_tui.commands import Commands
from andon_tui.screens.board import Board
from andon_tui.screens.dialogs import Confirm, Prompt
from andon_tui.screens.evidence import EvidenceScreen
from andon_tui.screens.floor import Floor
from andon_tui.screens.gates import Gates
from andon_tui.screens.help import Help
from andon_tui.screens.problems import Problems
from andon_tui.screens.queue import Queue
from andon_tui.screens.session import Session
from andon_tui.screens.task import TaskScreen
from andon_tui.screens.viewer import Viewer
from face_on_paper import face
from factory_on_paper import Paper, busy

SCREENS: dict[str, type[Screen[None]]] = {
    "board": Board, "gates": Gates, "task": TaskScreen, "session": Session, "problems": Problems, "help": Help, "viewer": Viewer,
    "confirm": Confirm, "prompt": Prompt, "floor": Floor, "queue": Queue, "evidence": EvidenceScreen,
}


@pytest.mark.parametrize("place", actions.PLACES)
def test_the_keys_of_a_screen_are_exactly_those_of_the_table(place: actions.Place) -> None:
    held = SCREENS[place]._merge_bindings().key_to_bindings.values()
    bound = {(binding.key, binding.action) for bindings in held for binding in bindings}
    table = {(key, f"act('{action.id}')") for action in actions.of(place) for key in action.keys.split(",") if key}
    assert {(Binding(key, "").key, action) for key, action in table} == bound


@pytest.mark.parametrize("place", actions.PLACES)
def test_no_key_means_two_things_on_one_screen(place: actions.Place) -> None:
    keys = [key for action in actions.of(place) for key in action.keys.split(",") if key]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)


@pytest.mark.parametrize("place", actions.PLACES)
def test_every_action_is_carried_out_by_its_screen_or_the_app(place: actions.Place) -> None:
    for action in actions.of(place):
        assert hasattr(SCREENS[place], action.handler) or hasattr(AndonApp, action.handler), action.id


def test_nothing_else_in_the_package_binds_a_key() -> None:
    root = Path(str(andon_tui.__file__)).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                names = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                if any(isinstance(name, ast.Name) and name.id == "BINDINGS" for name in names):
                    assert node.value is not None and "bindings_for(" in ast.unparse(node.value), path
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.name not in ("on_key", "key_enter") and not node.name.startswith("key_"), path
            if isinstance(node, ast.Name | ast.Attribute):
                assert ast.unparse(node).rpartition(".")[2] != "Binding" or path.name == "actions.py", path


def test_the_apps_own_keyboard_is_empty() -> None:
    assert not AndonApp._merge_bindings().key_to_bindings


async def test_the_footer_and_the_palette_offer_what_the_table_says_is_possible_now() -> None:
    async with face(Paper(busy()), (250, 60)) as shown:
        context = shown.app.screen.context()  # type: ignore[attr-defined]
        footer = shown.lines[-1]
        for action in actions.footer_for(context):
            assert f"{action.shown_keys.split()[0]} {action.label}" in footer, action.id
        offered = [text async for text in _names(Commands(shown.app.screen))]
        assert offered == [f"{action.label}  ({action.shown_keys})" for action in actions.palette_for(context)]
        assert not any("resume" in each for each in offered), "the line is moving"


async def _names(provider: Commands):  # type: ignore[no-untyped-def]
    async for hit in provider.discover():
        yield hit.text


async def test_help_lists_every_action_and_every_sign() -> None:
    async with face(Paper(busy()), (160, 250)) as shown:
        await shown.press("question_mark")
        for action in actions.listed(actions.ACTIONS):
            assert action.label in shown.text and action.help.split(";")[0].rstrip(".") in shown.text, action.id
        for word in ("proven", "refuted", "unevaluated", "cancelled", "paused"):
            assert word in shown.text


def test_the_docs_table_has_a_row_for_every_action() -> None:
    table = actions.as_markdown()
    assert all(action.help in table for action in actions.listed(actions.ACTIONS))


async def test_a_key_that_means_nothing_here_does_nothing_and_says_why() -> None:
    async with face(Paper([view for view in busy() if not view.key.startswith(("gate:", "session:"))])) as shown:
        for key, why in (("a", "no gate is open here"), ("s", "no session is alive here"), ("R", "line build is moving")):
            await shown.press(key)
            assert shown.place == "Board" and why in shown.text
        await shown.press("w", "y", "1")
        assert not shown.paper.commands and shown.place == "Board"


async def test_the_palette_finds_an_action_and_a_task_by_name() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("ctrl+p", *"problems", "enter")
        for _ in range(3):
            await shown.press("enter") if shown.place == "CommandPalette" else await shown.settle()
        assert shown.place == "Problems"


async def test_a_click_on_the_footer_and_on_a_tab_runs_the_action() -> None:
    async with face(Paper(busy())) as shown:
        await shown.pilot.click(offset=shown.where("Problems 1"))
        await shown.settle()
        assert shown.place == "Problems"
        await shown.pilot.click(offset=shown.where("? help"))
        await shown.settle()
        assert shown.place == "Help"


async def test_q_leaves_and_nothing_is_asked_of_the_daemon() -> None:
    async with face(Paper(busy())) as shown:
        await shown.pilot.press("q")
        assert shown.app.return_value == 0 and not shown.paper.commands
