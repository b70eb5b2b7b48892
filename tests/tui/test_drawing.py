"""Small pure pieces: cells, ages, colours, diffs, the model's order, and the picture."""

import msgspec
import pytest
from rich.cells import cell_len
from rich.color import Color, ColorSystem

from andon.schema.wire import Changes, Snapshot
from andon_tui import palette, picture
from andon_tui.clock import Clock, coarse
from andon_tui.draw import Span, between, cells, cut, fit, pad, row, wrap
from andon_tui.model import Model, ordered
from andon_tui.widgets.diff import diff_rows
from factory_on_paper import A_DIFF, NOW, Paper, busy, gate, task


@pytest.mark.parametrize("text", ["plain words", "日本語のタイトルです", "mixed 日本 text", "", "averylongword" * 3, "e\u0301a"])
@pytest.mark.parametrize("width", [1, 2, 5, 9, 40])
def test_every_fitting_keeps_to_its_cells(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) <= width
    assert all(cell_len(line) <= max(width, 2) for line in wrap(text, width))
    assert cells(pad(row(text, Span("x", "dim")), width)) == width
    assert cells(cut(row(text, text), width)) <= width


def test_what_stands_on_the_right_is_kept_whole() -> None:
    spans = between(row("a very long title that gives way"), row("12m"), 20)
    assert "".join(span.text for span in spans).endswith(" 12m") and cells(spans) == 20


def test_ages_are_coarse_and_say_when_they_change() -> None:
    told = [coarse(ms) for ms in (0, 59_000, 60_000, 3_599_000, 3_600_000, 172_800_000)]
    assert told == ["0s", "59s", "1m", "59m", "1h", "2d"]
    clock = Clock(lambda: NOW)
    clock.begin()
    assert clock.interval == 0 and clock.age(0) == ""
    clock.age(NOW - 120_000)
    assert clock.interval == Clock.SLOW_S
    clock.age(NOW - 3_000)
    assert clock.interval == Clock.FAST_S


@pytest.mark.parametrize("theme", [palette.DARK, palette.LIGHT])
def test_every_ink_stays_apart_from_its_ground_in_sixteen_colours(theme: str) -> None:
    ground = palette.base(theme).bgcolor
    assert ground is not None
    for (ink, under), style in palette.styles(theme).items():
        if ink.startswith("on-") != (under in ("ask", "bad")):
            continue
        back, front = style.bgcolor or ground, style.color
        assert front is not None
        sixteen: list[Color] = [each.downgrade(ColorSystem.STANDARD) for each in (front, back)]
        assert sixteen[0] != sixteen[1], (ink, under)


@pytest.mark.parametrize("theme", [palette.DARK, palette.LIGHT])
def test_text_has_contrast_enough_to_read(theme: str) -> None:
    def light(colour: Color) -> float:
        parts = [each / 255 for each in colour.get_truecolor()]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    ground = palette.base(theme).bgcolor
    assert ground is not None
    for (ink, under), style in palette.styles(theme).items():
        if ink == "rule" or ink.startswith("on-") != (under in ("ask", "bad")):
            continue
        front, back = light(style.color or ground), light(style.bgcolor or ground)
        contrast = (max(front, back) + 0.05) / (min(front, back) + 0.05)
        assert contrast >= 4.0, (ink, under, round(contrast, 1))


def test_no_two_states_share_glyph_and_word() -> None:
    for looks in (palette.STATES, palette.CLAIMS, palette.RISKS):
        assert len({(look.glyph, look.word) for look in looks.values()}) == len(looks)
        assert all(cell_len(look.glyph) == 1 for look in looks.values())


def test_attention_comes_first_and_the_longest_ignored_before_the_newer() -> None:
    tasks = [task(1, "", "building", "build"), task(2, "", "waiting", "build", attention="x", since=NOW - 5),
             task(3, "", "waiting", "build", attention="x", since=NOW - 500), task(4, "", "building", "build", priority=9)]
    assert [each.task for each in ordered(tasks)] == ["T3", "T2", "T4", "T1"]


def test_the_model_says_whether_anything_is_different() -> None:
    model, views = Model(), {view.key: view for view in busy()}
    assert model.sync(views) and not model.sync(dict(views)) and not model.sync({view.key: view for view in busy()})
    views["task:T1"] = task(1, "new", "done", "land")
    assert model.sync(views)
    del views["task:T1"]
    assert model.sync(views) and model.task("T1") is None
    assert model.waiting == 2 and [gate.gate for gate in model.gates] == ["G1", "G2"]


def test_a_diff_keeps_every_line_of_every_hunk() -> None:
    text = ["".join(span.text for span in each) for each in diff_rows(A_DIFF.split("\n"), 60)]
    for line in A_DIFF.split("\n"):
        if line[:1] in "+- @" and line and not line.startswith(("+++ b", "--- a", "--- /dev")):
            assert any(line in each for each in text), line


async def test_the_picture_is_made_from_a_recorded_feed(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    first, rest = busy()[:3], busy()[3:]
    feed = tmp_path / "feed.jsonl"
    messages = [Snapshot(id=1, views=(*first, gate(9, "T9"))), Changes(views=tuple(rest), gone=("gate:G9",))]
    feed.write_bytes(b"\n".join(msgspec.json.encode(each) for each in messages))
    source = picture.read(feed)
    assert set(source.views) == {view.key for view in busy()}
    drawn = await picture.picture(source, (120, 40), now=picture.latest(source.views))
    assert drawn.startswith("<svg") and "naturaltime" in drawn and "for&#160;you" in drawn


def test_a_feed_file_that_cannot_be_read_names_its_line(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    feed = tmp_path / "feed.jsonl"
    feed.write_text('{"type":"snapshot","views":[]}\nnonsense\n')
    assert picture.main([str(tmp_path / "x.svg"), "--feed", str(feed)]) == 1
    assert "feed.jsonl:2" in capsys.readouterr().err
    assert picture.main([str(tmp_path / "x.svg"), "--size", "wide", "--feed", str(feed)]) == 2


def test_a_paper_factory_is_a_source() -> None:
    assert Paper(busy()).views["factory"]
