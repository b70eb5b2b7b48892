"""The words and patterns of `vocabulary.toml`, read once. Knows no file of a change."""

import tomllib
from functools import cache
from importlib import resources


@cache
def vocabulary() -> dict[str, list[str]]:
    """Lists by name."""
    return tomllib.loads((resources.files("andon.edges.facts") / "vocabulary.toml").read_text())
