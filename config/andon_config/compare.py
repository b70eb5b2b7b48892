"""Says what one text of a repository's andon.toml judges less than another. Reads the person's own file and nothing else."""

from collections.abc import Callable
from pathlib import Path

from andon.schema.loosening import loosened
from andon.schema.settings import Settings
from andon_config.load import load_repository


def comparing(person: Path | None) -> Callable[[str, str], tuple[str, ...]]:
    """Two texts -> what the second loosens, over what this person says for all repositories. Mistake when one cannot be read."""

    def compare(before: str, after: str) -> tuple[str, ...]:
        return loosened(settings(before, person, "before"), settings(after, person, "after"))

    return compare


def settings(text: str, person: Path | None, where: str) -> Settings:
    """The settings that a text of andon.toml makes. Mistake when it is wrong."""
    own = person if person is not None and person.exists() else None
    return load_repository(work=None, base=text, base_where=f"andon.toml {where} the change", person=own).settings
