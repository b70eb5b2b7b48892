"""What a classification says: shown by `andon classify`, on gates and in `why`. Knows no rule by itself."""

import msgspec

from andon.schema.eventbase import Risk


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that matched."""

    risk: Risk
    rule: str
    """`stop`, `review`, `unmatched` (paths), `size`, or a kind of fact."""
    path: str = ""
    line: int = 0
    because: str
    name: str = ""
    waived: str = ""
    """The waiver by which it does not count; empty: it counts."""


class Classified(msgspec.Struct, frozen=True, kw_only=True):
    """The class of a change with all that speaks for it."""

    risk: Risk
    because: str
    findings: tuple[Finding, ...] = ()
    reviewers: tuple[str, ...] = ()
    """Owners of what it changes, by the CODEOWNERS of the target."""
