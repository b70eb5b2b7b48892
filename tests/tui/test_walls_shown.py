"""Weak walls on the screen: in words, on the card, the task, the gate and over everything; strict ones cost nobody's attention."""

from andon.schema.views import ProblemView
from face_on_paper import face
from factory_on_paper import NOW, Paper, factory, gate, line, repository, task

WHAT = "agents and checks of humanize run within walls of level none: bubblewrap is not installed."
WEAK = ProblemView(problem="walls", what=WHAT, where="this machine", mend="Install it.", since=NOW)


def views(walls: str) -> list[object]:
    card = task(5, "Speak Slovenian dual", "waiting", "review", agent="claude", attempts=1, gate="G1", files=3, walls=walls,
                attention="review this change", risk="review")
    return [factory(), repository(), line(), card, gate(1, "T5", walls=walls)]


async def test_a_card_and_a_gate_say_weak_walls_in_words() -> None:
    for level in ("none", "partial", "unknown"):
        async with face(Paper(views(level)), (160, 44)) as shown:  # type: ignore[arg-type]  # views of several kinds
            shown.app.show_home("board")
            await shown.settle()
            assert f"walls: {level}" in shown.text
            shown.app.show_home("gates")
            await shown.settle()
            assert f"walls: {level}" in shown.text


async def test_strict_walls_are_told_where_one_looks_and_take_no_room_on_a_card() -> None:
    async with face(Paper(views("strict")), (160, 44)) as shown:  # type: ignore[arg-type]  # views of several kinds
        shown.app.show_home("board")
        await shown.settle()
        assert "walls:" not in shown.text
        shown.app.show_home("gates")
        await shown.settle()
        assert "walls: strict" in shown.text


async def test_a_machine_that_gives_less_is_said_over_every_screen_until_it_is_mended() -> None:
    paper = Paper([*views("none"), WEAK])  # type: ignore[list-item]  # views of several kinds
    async with face(paper, (160, 44)) as shown:
        for home in ("board", "gates", "problems", "floor"):
            shown.app.show_home(home)
            await shown.settle()
            assert f"! {WHAT} · Install it." in shown.text, home
    async with face(Paper(views("none")), (160, 44)) as shown:  # type: ignore[arg-type]  # views of several kinds
        assert WHAT not in shown.text
