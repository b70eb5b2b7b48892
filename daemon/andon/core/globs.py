"""Globs on repository paths, as the core asks for them; `andon.schema.globs` says what they mean. Pure."""

from andon.schema.globs import (
    alike as alike,
    any_meet as any_meet,
    matches as matches,
    may_overlap as may_overlap,
    meet as meet,
    parts as parts,
    pattern as pattern,
)
