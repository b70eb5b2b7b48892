"""The test language itself: a script that does not fit fails, and says where."""

import pytest

from andon.schema import effects as f, events as e, inputs as i
from andon.schema.ids import RepoId
from core.playbook import Given, like, nothing
from core.sim import Sim

PULL = i.PullCord(repo=RepoId("r0"), line="build", because="smoke", by="me")
PULLED = e.CordPulled(repo=RepoId("r0"), line="build", because="smoke", by="me")


def given() -> Given:
    return Given.after(Sim())


def test_a_script_that_fits_is_true() -> None:
    assert given() >> PULL << PULLED
    assert given() >> PULL << like(e.CordPulled, because=lambda text: text.startswith("sm"))
    assert given() >> PULL << ...
    assert given() >> i.Ticked() << nothing


@pytest.mark.parametrize("wrong", [
    lambda: given() >> PULL << nothing,
    lambda: given() >> PULL << like(e.CordPulled, because="fire"),
    lambda: given() >> PULL << like(e.CordReleased),
    lambda: given() >> PULL << PULLED << PULLED,
    lambda: given() >> i.Ticked() << PULLED,
    lambda: given() >> PULL << like(f.MirrorTarget) << ...,
    lambda: given() >> PULL >> i.Ticked() << nothing,
], ids=["too much", "a field", "another kind", "too little", "nothing came", "no such effect", "left over before the next input"])
def test_a_script_that_does_not_fit_fails(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(AssertionError):
        assert wrong()


def test_a_mismatch_shows_the_script_and_a_diff() -> None:
    with pytest.raises(AssertionError) as caught:
        assert given() >> PULL << like(e.CordPulled, because="fire")
    told = str(caught.value)
    assert ">> PullCord(" in told
    assert "- like CordPulled(because='fire')" in told
    assert "+ CordPulled(repo='r0', line='build', because='smoke', by='me')" in told


def test_events_keep_their_order_while_effects_have_none() -> None:
    sim = Sim()
    add = i.AddTask(repo=RepoId("r0"), title="a", spec="a")
    entered, claimed = like(e.TaskEntered), like(e.AttemptClaimed)
    assert Given.after(sim) >> add << like(e.TaskAdded) << entered << claimed << like(f.PrepareCheckout)
    with pytest.raises(AssertionError):
        assert Given.after(sim) >> add << like(e.TaskAdded) << claimed << entered << like(f.PrepareCheckout)
