"""What can have happened to what judges: waivers, lights, and settings that got weaker. The ledger holds these."""

from andon.schema.eventbase import Event
from andon.schema.ids import Digest, RepoId, TaskId
from andon.schema.settings import Lights


class GateLoosened(Event, frozen=True, kw_only=True, tag="policy.loosened"):
    """Settings came into force that judge less than those before them."""

    repo: RepoId
    what: tuple[str, ...]
    """Each difference in a few words, at most 50."""
    digest: Digest = Digest("")
    """Of the settings that came into force."""
    landed: TaskId = TaskId("")
    """The task whose change brought them, which a person approved; empty: they were edited by hand."""


class WaiverGranted(Event, frozen=True, kw_only=True, tag="waiver.granted"):
    """A person set a rule aside: for one task, or for some paths, until a moment."""

    waiver: str
    repo: RepoId
    rule: str
    task: TaskId = TaskId("")
    paths: tuple[str, ...] = ()
    until: int
    """Unix milliseconds."""
    because: str
    by: str
    signature: Digest = Digest("")
    """Of the signed approval; empty: nobody signed, and it sets nothing of class stop aside."""


class WaiverEnded(Event, frozen=True, kw_only=True, tag="waiver.ended"):
    """The rule counts again."""

    waiver: str
    because: str
    by: str = ""
    """Who took it back; empty: its time is over."""


class LightsApproved(Event, frozen=True, kw_only=True, tag="lights.approved"):
    """A person let a line be dark, having seen these figures."""

    repo: RepoId
    line: str
    lights: Lights
    shown: str = ""
    because: str = ""
    by: str
    signature: Digest = Digest("")


class LightsDimmed(Event, frozen=True, kw_only=True, tag="lights.dimmed"):
    """A dark line fell below its floors, and a person sees its reviews again."""

    repo: RepoId
    line: str
    because: str


AnyPolicyEvent = GateLoosened | WaiverGranted | WaiverEnded | LightsApproved | LightsDimmed


def sentence(event: Event) -> str:
    """What happened, in one sentence; empty for an event of another part."""
    match event:
        case GateLoosened():
            how = f"by {event.landed}, which was approved" if event.landed else "by hand"
            return f"what judges {event.repo} got weaker {how}: {', '.join(event.what[:5])}"
        case WaiverGranted():
            scope = event.task or ", ".join(event.paths)
            return f"{event.by or 'somebody'} waived {event.rule} for {scope} ({event.waiver}): {event.because}"
        case WaiverEnded():
            return f"waiver {event.waiver} ended{f' by {event.by}' if event.by else ''}: {event.because}"
        case LightsApproved():
            return f"{event.by or 'somebody'} let line {event.repo}/{event.line} be {event.lights}: {event.because}"
        case LightsDimmed():
            return f"line {event.repo}/{event.line} dimmed by itself: {event.because}"
    return ""
