"""A State as bytes and back: the ledger's snapshots. Knows nothing of where they are kept."""

from collections.abc import Mapping
from typing import Any

import msgspec
from immutables import Map

from andon.core.state import (
    Account,
    Attempt,
    Cord,
    Decided,
    Gate,
    Landing,
    Past,
    Proof,
    Refusal,
    Repository,
    Run,
    Shipped,
    Spending,
    State,
    Task,
    Tries,
    Trouble,
    Waiver,
)
from andon.core.undone import Undo
from andon.schema.ids import AttemptId, GateId, LandingId, RepoId, RunId, TaskId
from andon.schema.notes import Notes
from andon.schema.sandbox import Reached
from andon.schema.settings import FactorySettings

FORMAT = 4
"""A snapshot of another format is ignored, and the ledger is replayed from its start."""


class Image(msgspec.Struct, kw_only=True):
    """The shape of a snapshot: State with plain dictionaries."""

    format: int
    seq: int
    at: int
    version: str
    started_at: int
    pid: int
    cores: int
    walls: Reached | None
    factory: FactorySettings
    repos: dict[RepoId, Repository]
    tasks: dict[TaskId, Task]
    open: tuple[TaskId, ...]
    over: tuple[TaskId, ...]
    past: dict[TaskId, Past]
    attempts: dict[AttemptId, Attempt]
    runs: dict[RunId, Run]
    proofs: dict[str, Proof]
    gates: dict[GateId, Gate]
    decided: tuple[Decided, ...] = ()
    landings: dict[LandingId, Landing]
    cords: dict[str, Cord]
    problems: dict[str, Trouble]
    problems_told: tuple[tuple[str, int], ...] = ()
    refusals: dict[AttemptId, tuple[Refusal, ...]] = {}
    tries: dict[str, Tries]
    keys: dict[str, TaskId]
    task_count: int
    run_count: int
    gate_count: int
    seed: str = ""
    landing_count: int
    fence: int
    message_count: int
    accounts: dict[str, Account]
    strained: str
    days: dict[str, Spending]
    starts: tuple[int, ...]
    undos: dict[str, Undo] = {}
    undo_count: int = 0
    failing_starts: int
    notes: Notes = Notes()
    waivers: dict[str, Waiver] = {}
    waiver_count: int = 0
    shipped: dict[str, tuple[Shipped, ...]] = {}
    dark: dict[str, bool] = {}


def freeze(state: State) -> bytes:
    """The snapshot of a state."""
    fields: dict[str, Any] = {name: getattr(state, name) for name in State.__struct_fields__}
    plain: dict[str, Any] = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    return msgspec.json.encode(Image(format=FORMAT, **plain))


def thaw(data: bytes) -> State | None:
    """The state of a snapshot; None when another release wrote it in a form that this one does not read."""
    try:
        image = msgspec.json.decode(data, type=Image)
    except msgspec.DecodeError:
        return None
    if image.format != FORMAT:
        return None
    fields: dict[str, Any] = {name: getattr(image, name) for name in State.__struct_fields__}
    maps: dict[str, Any] = {name: Map(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return State(**maps)
