"""What the factory owes the world. Imperative; derived from State alone; harmless when done twice.

Each effect has a `key` by which the world can be asked whether it was done. Each is answered by one Input.
"""

import msgspec

from andon.schema.eventbase import Risk
from andon.schema.evidence import ChangeParts, LandingParts
from andon.schema.facts import Watch
from andon.schema.ids import AttemptId, Digest, GateId, LandingId, Oid, RepoId, RunId, TaskId
from andon.schema.landing_events import MergedStep
from andon.schema.notes import NoteKind, NoteRecord
from andon.schema.settings import AgentSettings, Check, Checkout, Routes, Walls


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all effects."""

    @property
    def key(self) -> str:
        """Idempotency key: equal keys are the same deed."""
        raise NotImplementedError

    @property
    def lane(self) -> str:
        """Deeds of one lane are done one at a time. An attempt's steps share a lane; watching it has its own."""
        return self.key


class Step(Effect, frozen=True, kw_only=True):
    """Base of the steps of one attempt."""

    attempt: AttemptId

    @property
    def lane(self) -> str:
        """The attempt's own."""
        return str(self.attempt)


class PrepareCheckout(Step, frozen=True, kw_only=True, tag="prepare-checkout"):
    """Make the isolated checkout of an attempt. Answered by CheckoutReady or EffectFailed."""

    task: TaskId
    repo: RepoId
    git_dir: str
    path: str
    """The person's own checkout, for `.worktreeinclude`."""
    base: Oid
    start: Oid = Oid("")
    """The commit the branch starts at when it goes on from an earlier attempt; empty means base."""
    previous: Oid = Oid("")
    """The commit of the attempt before, offered as the branch `andon/previous`; empty when there is none."""
    rebase: bool = False
    """Replay `previous` onto `base` and start there, when that goes without a conflict."""
    structured: bool = False
    """Where `previous` and `base` conflict, offer a merge by mergiraf as the branch `andon/proposal`, never more than that."""
    checkout: Checkout
    hide: tuple[str, ...] = ()
    """Paths that must not be found in it, by git neither."""
    port: int
    try_: int = 0
    walls: Walls = Walls(level="none")
    """Of its setup commands."""

    @property
    def key(self) -> str:
        """Once per attempt and try."""
        return f"{self.attempt}/prepare/{self.try_}"


class StartSession(Step, frozen=True, kw_only=True, tag="start-session"):
    """Start the agent in tmux under its wrapper. Answered by SessionStarted or EffectFailed."""

    task: TaskId
    repo: RepoId
    title: str
    prompt: str
    agent: AgentSettings
    path: str
    """The checkout."""
    base: Oid
    port: int
    ports: int
    try_: int = 0
    repository: str = ""
    """The top level of the person's own checkout."""
    sitting: int = 1
    """2 and more: started again in the same checkout; the job directory of the sitting before is set aside first."""
    resume: str = ""
    """The conversation to go on with."""
    whole: str = ""
    """With `resume`: the prompt for an agent that turns out not to have that conversation."""
    git_dir: str = ""
    """The person's repository: its objects are borrowed, read-only."""
    walls: Walls = Walls()

    @property
    def key(self) -> str:
        """Once per sitting and try; the start token makes a second start impossible."""
        return f"{self.attempt}/start/{self.sitting}/{self.try_}"


class WatchSession(Effect, frozen=True, kw_only=True, tag="watch-session"):
    """See the attempt through to its end. Answered by SessionEnded; adoption after a restart is this same effect."""

    attempt: AttemptId
    session: str
    sitting: int = 1

    @property
    def key(self) -> str:
        """Once per sitting."""
        return f"{self.attempt}/watch/{self.sitting}"


class StopSession(Step, frozen=True, kw_only=True, tag="stop-session"):
    """Snapshot the work, then end the process tree. The end itself is seen by WatchSession. Answered by StopDone."""

    repo: RepoId
    git_dir: str
    path: str
    base: Oid

    @property
    def key(self) -> str:
        """Once per attempt."""
        return f"{self.attempt}/stop"


class SuspendSession(Step, frozen=True, kw_only=True, tag="suspend-session"):
    """Suspend or continue the process tree. Answered by SuspendDone."""

    suspend: bool

    @property
    def key(self) -> str:
        """Once per attempt and direction."""
        return f"{self.attempt}/suspend/{self.suspend}"


class ImportWork(Step, frozen=True, kw_only=True, tag="import-work"):
    """Fetch the checkout's head and pin it under refs/andon/work/. Answered by WorkRead."""

    task: TaskId
    repo: RepoId
    git_dir: str
    path: str
    base: Oid
    fence: int
    others: tuple[Oid, ...] = ()
    """Imported commits of other tasks, not yet on the target: containing one of them is refused."""
    watch: Watch = Watch()
    """What the policy in force wants looked for in it."""
    try_: int = 0

    @property
    def key(self) -> str:
        """Once per attempt and try."""
        return f"{self.attempt}/import/{self.try_}"


class RemoveCheckout(Step, frozen=True, kw_only=True, tag="remove-checkout"):
    """End the session's remains, snapshot, then remove the checkout. Answered by CheckoutGone or EffectFailed."""

    repo: RepoId
    git_dir: str
    path: str
    base: Oid
    checkout: Checkout
    walls: Walls = Walls(level="none")
    """Of its teardown commands."""

    @property
    def key(self) -> str:
        """Once per attempt."""
        return f"{self.attempt}/remove"


class DeliverAnswer(Effect, frozen=True, kw_only=True, tag="deliver-answer"):
    """Put a person's answer into the agent's inbox. Answered by AnswerGiven."""

    attempt: AttemptId
    n: int
    text: str

    @property
    def key(self) -> str:
        """Once per question."""
        return f"{self.attempt}/answer/{self.n}"


class RunCheck(Effect, frozen=True, kw_only=True, tag="run-check"):
    """Run one check in a clean checkout of the exact commit. Answered by CheckRan."""

    run: RunId
    repo: RepoId
    git_dir: str
    commit: Oid
    tree: Oid
    check: Check
    definition: Digest
    checkout: Checkout
    base_names: Digest = Digest("")
    """Blob with the names of the tests that pass on the base, to tell which went missing; empty when unknown."""
    landing: bool = False
    """Landings go first."""
    slots: int = 1
    """Check runs at once in this repository."""
    walls: Walls = Walls()
    base: Oid = Oid("")
    """The commit that a change or a landing is compared with; empty: the tree is looked at for itself."""
    base_tree: Oid = Oid("")
    rules: tuple[tuple[str, str], ...] = ()
    """Where a glob of the settings stands, and the glob: each must name a file of the tree."""

    @property
    def key(self) -> str:
        """Once per run."""
        return str(self.run)


class MergeMember(msgspec.Struct, frozen=True, kw_only=True):
    """A change to be merged."""

    task: TaskId
    commit: Oid
    at: int
    """Unix milliseconds: author and committer date of its merge, so that a rebuild gives the same commit."""
    title: str
    trailers: tuple[str, ...] = ()


class MergeCandidate(Effect, frozen=True, kw_only=True, tag="merge-candidate"):
    """Merge changes with trunk, one on top of the other, as objects only; pin the last at refs/andon/cand/<landing>.

    Answered by CandidateMerged, CandidateConflicted or EffectFailed."""

    landing: LandingId
    repo: RepoId
    git_dir: str
    target: str
    onto: Oid
    members: tuple[MergeMember, ...]
    how: str = "merge"
    """`merge`: a true merge commit each; `squash`: one commit each; `rebase`: their own commits, replayed."""
    green: bool = False
    """The tip is one commit on `onto`, so that every first-parent commit of the target is a proven one."""
    drivers: tuple[str, ...] = ()
    """Custom merge drivers of `.gitattributes` that may run; a path that names another is refused."""
    at: int = 0
    """Unix milliseconds of the plan: the date of a `green` tip."""
    try_: int = 0

    @property
    def key(self) -> str:
        """Once per landing and try."""
        return f"{self.landing}/merge/{self.try_}"


class MoveTarget(Effect, frozen=True, kw_only=True, tag="move-target"):
    """Prove the candidate once more as objects and move trunk by compare-and-swap. Answered by TargetSwapped or LandingRefused."""

    landing: LandingId
    repo: RepoId
    git_dir: str
    target: str
    old: Oid
    new: Oid
    tree: Oid
    """The tree that the passing runs were made on."""
    members: tuple[MergeMember, ...]
    """Those that the passing runs were made with."""
    steps: tuple[MergedStep, ...]
    how: str = "merge"
    green: bool = False
    drivers: tuple[str, ...] = ()
    at: int = 0
    """As planned: the candidate is built once more from all of this, and must come out the same."""

    @property
    def key(self) -> str:
        """Once per landing."""
        return f"{self.landing}/move"

    @property
    def lane(self) -> str:
        """One move of a target at a time."""
        return f"{self.repo}/move"


class SealChange(Effect, frozen=True, kw_only=True, tag="seal-change"):
    """Sign all evidence about a change and keep it in the repository. Answered by SealMade or EffectFailed."""

    repo: RepoId
    task: TaskId
    approved: Digest
    parts: ChangeParts

    @property
    def key(self) -> str:
        """Once for each change and approval; equal parts come to the same bundle."""
        return f"{self.task}/seal/{self.parts.commit}/{self.approved}"

    @property
    def lane(self) -> str:
        """One at a time in a repository: they are written to one ref."""
        return f"{self.repo}/evidence"


class RecordLanding(Effect, frozen=True, kw_only=True, tag="record-landing"):
    """Keep what proved the tree of a landing beside the bundles of its members. Answered by LandingNoted or EffectFailed."""

    repo: RepoId
    parts: LandingParts

    @property
    def key(self) -> str:
        """Once per landing."""
        return f"{self.parts.landing}/record"

    @property
    def lane(self) -> str:
        """One at a time in a repository: they are written to one ref."""
        return f"{self.repo}/evidence"


class MirrorTarget(Effect, frozen=True, kw_only=True, tag="mirror-target"):
    """Let the person's branch follow trunk when that is safe. Answered by MirrorSeen."""

    repo: RepoId
    git_dir: str
    path: str
    target: str
    oid: Oid
    asked: int = 0
    """A person asked for it, for the so-manieth time: uncommitted changes of files that trunk did not touch may stay."""

    @property
    def key(self) -> str:
        """Once per trunk commit and request."""
        return f"{self.repo}/mirror/{self.oid}/{self.asked}"


class MakeRevert(Effect, frozen=True, kw_only=True, tag="make-revert"):
    """Make the change that takes a landed one back, pinned under refs/andon/work/<task>. Answered by RevertMade."""

    task: TaskId
    repo: RepoId
    git_dir: str
    onto: Oid
    """Trunk."""
    landed: Oid
    """The commit on the target that holds the change and those before it."""
    before: Oid
    """The target's commit before it."""
    title: str
    at: int
    """Unix milliseconds: date of the commit."""
    watch: Watch = Watch()

    @property
    def key(self) -> str:
        """Once per task and trunk."""
        return f"{self.task}/revert/{self.onto}"


class PublishTarget(Effect, frozen=True, kw_only=True, tag="publish-target"):
    """Hand trunk on: push it to a remote's branch, never by force, or open a pull request for it. Answered by PublishSeen."""

    repo: RepoId
    git_dir: str
    path: str
    target: str
    oid: Oid
    how: str
    """`push` or `pr`."""
    remote: str
    title: str = ""
    body: str = ""

    @property
    def key(self) -> str:
        """Once per trunk commit."""
        return f"{self.repo}/publish/{self.oid}"

    @property
    def lane(self) -> str:
        """One at a time in a repository."""
        return f"{self.repo}/publish"


class LookAtWork(Effect, frozen=True, kw_only=True, tag="look-at-work"):
    """See whether the checkout of an agent that ended its turn holds a new commit, and what lies beside it.

    Answered by WorkSeen."""

    attempt: AttemptId
    n: int
    path: str
    git_dir: str
    base: Oid
    """The commit that its branch started at."""
    text: str = ""
    """Its last words, for what they assert."""

    @property
    def key(self) -> str:
        """Once per turn."""
        return f"{self.attempt}/look/{self.n}"


class EndSession(Step, frozen=True, kw_only=True, tag="end-session"):
    """End an interactive session whose turn is over: politely, then the whole tree. Nothing is thrown away.

    Answered by FinishDone."""

    sitting: int = 1

    @property
    def key(self) -> str:
        """Once per sitting."""
        return f"{self.attempt}/end/{self.sitting}"


class AnswerAsk(Effect, frozen=True, kw_only=True, tag="answer-ask"):
    """Tell the agent's channel what was decided. Answered by AskAnswered or EffectFailed."""

    attempt: AttemptId
    ask: str
    allow: bool
    text: str = ""
    by_keys: bool = False

    @property
    def key(self) -> str:
        """Once per ask."""
        return f"{self.attempt}/ask/{self.ask}"


class DeliverMessage(Effect, frozen=True, kw_only=True, tag="deliver-message"):
    """Put words into a session, once, by its best channel. Messages of one session go one at a time. Answered by MessageSent,
    MessageRefused or EffectFailed."""

    attempt: AttemptId
    message: str
    text: str
    try_: int = 0

    @property
    def key(self) -> str:
        """Once per message and try; what the session itself shows of it is looked at first."""
        return f"{self.attempt}/message/{self.message}/{self.try_}"

    @property
    def lane(self) -> str:
        """One message at a time."""
        return f"{self.attempt}/messages"


class InterruptTurn(Effect, frozen=True, kw_only=True, tag="interrupt-turn"):
    """End the running turn by the best channel. Answered by Interrupted or EffectFailed."""

    attempt: AttemptId
    n: int

    @property
    def key(self) -> str:
        """Once per request."""
        return f"{self.attempt}/interrupt/{self.n}"


class WriteNotes(Effect, frozen=True, kw_only=True, tag="write-notes"):
    """Say in git notes what a landed commit is, beside what others wrote there. Answered by NotesWritten or EffectFailed."""

    repo: RepoId
    git_dir: str
    target: str
    refs: tuple[NoteKind, ...]
    record: NoteRecord

    @property
    def key(self) -> str:
        """Once per task and landed commit."""
        return f"{self.record.task}/notes/{self.record.commit}"

    @property
    def lane(self) -> str:
        """One at a time in a repository."""
        return f"{self.repo}/notes"


class RepairNotes(Effect, frozen=True, kw_only=True, tag="repair-notes"):
    """Look through what somebody else put on the target for changes of ours under other names. Answered by NotesRepaired."""

    repo: RepoId
    git_dir: str
    target: str
    old: Oid
    new: Oid
    refs: tuple[NoteKind, ...]

    @property
    def key(self) -> str:
        """Once per move."""
        return f"{self.repo}/repair/{self.old}/{self.new}"

    @property
    def lane(self) -> str:
        """One at a time in a repository."""
        return f"{self.repo}/notes"


class TellGate(Effect, frozen=True, kw_only=True, tag="tell-gate"):
    """Go through the person's routes for a gate: at least once, and what they are given bears the key. Answered by GateTold."""

    gate: GateId
    n: int
    """How often it rose; 0: it opened."""
    task: TaskId
    repo: RepoId
    title: str
    question: str
    recommendation: str
    because: str
    risk: Risk
    to: str
    opened_at: int
    routes: Routes

    @property
    def key(self) -> str:
        """Once each time it rises."""
        return f"gate/{self.gate}/{self.n}"


class TellProblem(Effect, frozen=True, kw_only=True, tag="tell-problem"):
    """The same for a problem. Answered by ProblemHeard."""

    problem: str
    """Its key."""
    at: int
    what: str
    where: str
    mend: str
    repo: RepoId
    task: TaskId
    routes: Routes

    @property
    def key(self) -> str:
        """Once each time it comes up."""
        return f"problem/{self.problem}/{self.at}"


AnyEffect = (
    PrepareCheckout | StartSession | WatchSession | StopSession | SuspendSession | ImportWork | RemoveCheckout
    | DeliverAnswer | RunCheck | SealChange | MergeCandidate | MoveTarget | RecordLanding | MirrorTarget | MakeRevert
    | PublishTarget | LookAtWork | EndSession | AnswerAsk | DeliverMessage | InterruptTurn | WriteNotes | RepairNotes | TellGate | TellProblem
)
"""The closed union of effects."""
