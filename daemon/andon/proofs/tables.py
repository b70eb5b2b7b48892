"""Tables and columns that stand after a row of SQL files, as facts; it parses with sqlglot and never runs a statement."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from andon.proofs.fact import Fact, Unevaluated

if TYPE_CHECKING:
    from sqlglot.expressions import Alter, Create, Expression

Tables = dict[str, dict[str, str]]
"""Of each table its columns, each with what it is."""


def columns(files: Sequence[tuple[str, str]], dialect: str) -> Iterator[Fact]:
    """A fact for each table, view, index and column. Files are read in their order: later ones change what earlier ones made."""
    import sqlglot
    from sqlglot import exp

    tables: Tables = {}
    others: set[str] = set()
    for name, text in files:
        try:
            statements = sqlglot.parse(text, dialect=dialect or None)
        except (sqlglot.errors.SqlglotError, ValueError, RecursionError) as error:
            raise Unevaluated(f"{name} cannot be read as SQL{f' of {dialect}' if dialect else ''}: {str(error)[:300]}") from None
        for statement in statements:
            if isinstance(statement, exp.Create):
                _create(statement, tables, others)
            elif isinstance(statement, exp.Alter):
                _alter(statement, tables)
            elif isinstance(statement, exp.Drop):
                tables.pop(_name(statement), None)
                others -= {f"{str(statement.args.get('kind')).lower()} {_name(statement)}"}
            elif isinstance(statement, exp.Command):
                told = statement.sql()[:80]
                if told.upper().startswith(("CREATE", "ALTER", "DROP")):
                    raise Unevaluated(f"{name}: `{told}` is not understood: say `--dialect`, or leave the file out")
    for table, inside in sorted(tables.items()):
        yield Fact(group="schema sql", name=f"table {table}")
        yield from (Fact(group="schema sql", name=f"column {table}.{column}: {told}") for column, told in sorted(inside.items()))
    yield from (Fact(group="schema sql", name=other) for other in sorted(others))


def _name(thing: "Expression") -> str:
    """The table that a statement is about, with its schema."""
    from sqlglot import exp

    table = thing.find(exp.Table)
    return ".".join(part.name for part in table.parts).lower() if table is not None else ""


def _told(column: "Expression") -> str:
    """Type and constraints of a column."""
    kind = column.args.get("kind")
    limits = sorted(limit.sql() for limit in column.args.get("constraints") or ())
    return " ".join((kind.sql() if kind is not None else "any", *limits))


def _create(made: "Create", tables: Tables, others: set[str]) -> None:
    from sqlglot import exp

    kind = str(made.args.get("kind")).lower()
    if kind == "table" and isinstance(made.this, exp.Schema):
        tables[_name(made)] = {one.name.lower(): _told(one) for one in made.this.expressions if isinstance(one, exp.ColumnDef)}
        rules = (one for one in made.this.expressions if not isinstance(one, exp.ColumnDef | exp.Identifier))
        others |= {f"table {_name(made)}: {one.sql()}" for one in rules}
    elif kind == "table":
        tables[_name(made)] = {}
    elif kind == "index":
        others.add(made.sql())
    else:
        others.add(f"{kind} {_name(made) or made.this.sql()}")


def _alter(made: "Alter", tables: Tables) -> None:
    from sqlglot import exp

    table = _name(made)
    inside = tables.setdefault(table, {})
    for action in made.args.get("actions") or ():
        if isinstance(action, exp.ColumnDef):
            inside[action.name.lower()] = _told(action)
        elif isinstance(action, exp.Drop):
            for gone in action.args.get("tables") or [action.this]:
                inside.pop(gone.name.lower() if gone is not None else "", None)
        elif isinstance(action, exp.AlterRename):
            tables[_name(action)] = tables.pop(table)
        elif isinstance(action, exp.RenameColumn):
            before = action.this.name.lower()
            inside[action.args["to"].name.lower()] = inside.pop(before, "any")
        else:
            inside[f"as altered: {action.sql()}"] = "altered"
