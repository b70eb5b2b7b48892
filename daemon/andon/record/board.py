"""The documented views of the record: what they are named, what their columns mean, and a connection that holds them.

Theory of operation. A view is plain SQL over the table `event`, so whoever doubts one can read it. Those that a question names,
and those beneath them, are filled once into memory before it is asked; the others stand there as views and cost nothing. The ledger
has no index by kind, and gets none for this: one walk over it notes which rows are of which kind, and filling looks only at those.
"""

import re
import sqlite3
import time
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from andon.record.guarded import HEAP, ROWS, SECONDS, WARM_S, Answer, Guarded, Value
from andon.schema.errors import Mistake
from andon.schema.layout import Layout

EVENT = {
    "seq": "1, 2, 3 … without gaps: the only order there is", "at": "Unix milliseconds", "kind": "what happened, like task.added",
    "version": "of that kind's data", "subject": "what it is about", "data": "JSON; `data ->> '$.task'` reads a field",
    "prev": "hash of the row before", "hash": "of this one",
}
"""The columns of the ledger's own table."""

KINDS = "CREATE TEMP TABLE of_kind (kind, seq, PRIMARY KEY (kind, seq)) WITHOUT ROWID"
_OF_KIND = re.compile(r"WHERE (\w+\.)?kind (= '[^']+\.[^']+'|IN \([^)]*\))")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One documented view."""

    name: str
    about: str
    sql: str
    columns: dict[str, str]
    """What each is, in the order of the view."""
    index: tuple[str, ...] = ()
    """Columns by which it is looked up once it is filled."""


@cache
def views() -> tuple[View, ...]:
    """All of them; a view may use those before it."""
    text = files("andon.record").joinpath("views.toml").read_text()
    return tuple(msgspec.convert(tomllib.loads(text)["view"], list[View]))


def needed(sql: str) -> frozenset[str]:
    """The views that a question names, with those beneath. A name in a text or a comment counts too: that costs time, no more."""
    wanted = {word.lower() for word in re.findall(r"\w+", sql)} & {view.name for view in views()}
    for view in reversed(views()):
        if view.name in wanted:
            wanted |= {word for word in re.findall(r"\w+", view.sql) if word in {other.name for other in views()}}
    return frozenset(wanted)


def _quick(sql: str) -> str:
    """The same view, which finds the rows of its kinds by `of_kind`."""
    return _OF_KIND.sub(lambda found: f"{found[0]} AND {found[1] or ''}seq IN (SELECT seq FROM of_kind WHERE kind {found[2]})", sql)


class Board(Guarded):
    """The ledger with its views, for one or more questions of one moment. `warm_s`: how long filling them took."""

    def __init__(self, layout: Layout, *questions: str, heap: int = 0) -> None:
        """Ready to be asked these questions; others are answered too, more slowly. Raises Mistake as Guarded does."""
        super().__init__(layout, heap)
        begun = time.monotonic()
        kept = needed("\n".join(questions))
        try:
            if kept:
                self.run(KINDS, "INSERT INTO of_kind SELECT kind, seq FROM event ORDER BY 1, 2")
            for view in views():
                self.prepare(view.name, _quick(view.sql) if view.name in kept else view.sql, kept=view.name in kept)
                self.run(*(f'CREATE INDEX temp."{view.name}_{column}" ON "{view.name}" ("{column}")'
                           for column in view.index if view.name in kept))
            self.shut()
        except (sqlite3.Error, MemoryError) as error:
            self.__exit__()
            if isinstance(error, MemoryError) or "interrupted" in str(error):
                raise Mistake(f"The views of so large a ledger take more than {WARM_S:g} seconds or {HEAP // 2**20} MiB to fill.",
                              where=str(layout.ledger), mend="Ask the table `event` itself, by kind.") from error
            raise Mistake(f"The ledger cannot be read: {error}.", where=str(layout.ledger),
                          mend="`andon doctor` names an event that is broken; keep a copy of the ledger as it is.") from error
        except BaseException:
            self.__exit__()
            raise
        self.warm_s = time.monotonic() - begun


def answer(
    layout: Layout, sql: str, values: dict[str, Value] | None = None, *, rows: int = ROWS, seconds: float = SECONDS, heap: int = 0,
) -> Answer:
    """The answer to one question, views and all; `seconds` of the answer include the warm-up."""
    with Board(layout, sql, heap=heap) as board:
        found = board.ask(sql, values, rows=rows, seconds=seconds)
        return found._replace(seconds=found.seconds + board.warm_s)
