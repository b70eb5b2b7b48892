"""A person's mistake, said once and well. Never carries a destructive command."""

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, where it is, and how to mend it: the text of every error that a person sees."""

    what: str
    """What happened, in one plain sentence."""
    where: str = ""
    """File and line, command, task or setting: the place to look at."""
    mend: str = ""
    """What the person can do now. Never a destructive command."""

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.mend:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)


class Mistake(Exception):
    """The one error class for what a person can mend. Faces print it; nothing else is printed as an error."""

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.problem = Problem(what=what, where=where, mend=mend)

    def __str__(self) -> str:
        return str(self.problem)
