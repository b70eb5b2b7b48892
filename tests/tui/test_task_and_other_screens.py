"""Task, viewer, problems, jumps, and what is shown while the daemon is away."""

import threading

from andon.schema.wire import GetTask
from andon_tui.app import AndonApp
from face_on_paper import face
from factory_on_paper import MINUTE, SECOND, Paper, busy, repository, session, task
from support import wait_for


async def test_a_task_shows_spec_attempts_claims_and_timeline() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        for told in ("Speak Slovenian dual", "# Slovenian dual", "T5.1 claude · failed", "kept in refs/andon/salvage/T5.1",
                     "✓ tests", "exit 127", "tests failed: 2 of 214", "↳ evidence", "what the next attempt is told",
                     "ada added T5"):
            assert told in shown.text, told


async def test_a_moment_of_the_timeline_opens_its_evidence_and_escape_climbs_back() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        await shown.press("down", "down", "enter")
        assert shown.place == "Viewer" and "test_case_0 PASSED" in shown.text and "T5 · log" in shown.lines[0]
        await shown.press("end")
        assert "214 passed in 3.21s" in shown.text
        await shown.press("slash", *"case_17", "enter")
        assert "test_case_170" in shown.text and "test_case_18 " not in shown.text
        await shown.press("escape", "escape")
        assert shown.place == "TaskScreen"
        await shown.press("escape")
        assert shown.place == "Board"


async def test_a_moment_without_evidence_says_so() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter", "enter")
        assert shown.place == "TaskScreen" and "no evidence" in shown.text


async def test_the_task_is_asked_for_again_when_its_view_changed_and_only_then() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        asked = len([each for each in shown.paper.asked if isinstance(each, GetTask)])
        shown.paper.put(task(6, "another card", "checking", "check"))
        await shown.settle()
        assert len([each for each in shown.paper.asked if isinstance(each, GetTask)]) == asked
        shown.paper.put(task(5, "a new title", "landing", "land"))
        await shown.settle()
        assert len([each for each in shown.paper.asked if isinstance(each, GetTask)]) == asked + 1 and "a new title" in shown.text


async def test_d_shows_the_diff_in_colour_with_every_line_of_the_change() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("d")
        assert shown.place == "Viewer" and "── src/humanize/time.py" in shown.text and "+--- not a header" in shown.text


async def test_tab_goes_between_the_panes_of_a_screen() -> None:
    async with face(Paper(busy()), (140, 50)) as shown:
        await shown.press("enter")
        first = shown.app.screen.focused
        await shown.press("tab")
        assert shown.app.screen.focused is not first
        await shown.press("shift+tab")
        assert shown.app.screen.focused is first


async def test_problems_show_cause_and_mend_and_open_their_task() -> None:
    behind = repository(behind="it has a commit of its own", mend="git merge andon/trunk")
    views = [behind if view.key.startswith("repository") else view for view in busy()]
    async with face(Paper(views), (80, 24), home="problems") as shown:
        for told in ("check lint is unevaluated", "where  andon.toml: [checks.lint]", "mend   add it to"):
            assert told in shown.text
        assert "git merge andon/trunk" in shown.text and "Problems 2" in shown.lines[0]
        await shown.press("enter")
        assert shown.place == "TaskScreen"


async def test_colon_jumps_to_tasks_gates_sessions_and_screens() -> None:
    async with face(Paper(busy())) as shown:
        for typed, place in (("t3", "TaskScreen"), ("G2", "Gates"), ("T4.1", "Session"), ("prob", "Problems"), ("board", "Board")):
            await shown.press("colon", *typed, "enter")
            assert shown.place == place, typed
        await shown.press("colon", *"G2", "enter")
        assert "Keep the old path" in shown.text
        await shown.press("colon", *"T99", "enter")
        assert "there is no T99 here" in shown.text


async def test_a_lost_daemon_is_told_with_the_age_of_what_is_shown_and_comes_back_by_itself() -> None:
    async with face(Paper(busy())) as shown:
        shown.paper.lose()
        await shown.settle()
        shown.hand.at += 12 * SECOND
        shown.app.draw()
        await shown.settle()
        assert "daemon not reachable: the daemon closed the connection" in shown.text and "what you see is 12s old" in shown.text
        assert "T7 building" in shown.text, "the last known state stays"
        await shown.press("c")
        assert shown.place == "Board" and "nothing can be decided now" in shown.text
        shown.paper.find()
        await shown.settle()
        assert "✗ daemon" not in shown.text


async def test_the_app_starts_without_a_daemon_and_fills_when_it_comes() -> None:
    paper = Paper(connected=False)
    async with face(paper) as shown:
        assert "daemon not reachable" in shown.text and "andon up" in shown.text
        paper.views_.update({view.key: view for view in busy()})
        paper.find()
        await shown.settle()
        assert shown.place == "Gates" and "Land this change" in shown.text


async def test_attach_runs_tmux_attach_on_the_factorys_own_socket(monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import subprocess
    from contextlib import nullcontext

    from andon.schema.layout import layout

    ran: list[list[str]] = []

    def run(argv: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        ran.append(argv)
        return subprocess.CompletedProcess(argv, int(check))

    monkeypatch.setattr(subprocess, "run", run)
    async with face(Paper(busy())) as shown:
        shown.app.layout_of_factory = layout(tmp_path)
        monkeypatch.setattr(shown.app, "suspend", nullcontext)
        shown.app.screen.view.choose("T4")  # type: ignore[attr-defined]
        await shown.press("t")
        assert ran and ran[0][-1] == "=T4_1" and str(layout(tmp_path).tmux_socket) in ran[0]


async def test_the_app_leaves_when_somebody_elses_event_is_set() -> None:
    over = threading.Event()
    app = AndonApp(Paper(busy()), until=over)
    async with app.run_test() as pilot:
        await pilot.pause()
        over.set()
        await wait_for(lambda: app.return_code == 0 and app._exit, what="the end")


async def test_the_light_scheme_is_one_key_away() -> None:
    async with face(Paper(busy())) as shown:
        before = shown.text
        await shown.press("ctrl+t")
        assert shown.app.theme == "andon-light" and shown.text == before


async def test_a_screen_below_catches_up_when_it_is_seen_again() -> None:
    async with face(Paper(busy())) as shown:
        await shown.press("question_mark")
        shown.paper.put(task(6, "a title from below", "checking", "check", since=shown.hand.at - MINUTE), session("T6.1"))
        await shown.settle()
        await shown.press("escape")
        assert "a title from" in shown.text
