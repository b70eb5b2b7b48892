"""What a task's line asks for by claims, as rows of a page. Knows no daemon."""

from andon.cli import out
from andon.schema.views import TaskView


def steps(task: TaskView) -> None:
    """Each claim in order: how it stands, where it is asked for, who produces it. Nothing where the line asks for none."""
    if not task.steps:
        return
    print(out.paint("\nsteps of its line", "bold"))
    rows = [(out.state_word(one.status), one.claim, one.station, one.producer, one.because) for one in task.steps]
    out.table(rows, ("STATE", "CLAIM", "STATION", "PRODUCER", "BECAUSE"), indent="  ")
