"""`pending(State, at) -> [Effect]`: what the factory still owes the world. Derived, never stored; asking twice gives the same."""

from collections.abc import Iterator

import msgspec

from andon.core import gates, notes, sealing, seen, sessions, walls
from andon.core.classify import watch_of
from andon.core.prompt import prompt_for, whole_prompt
from andon.core.queue import reverts
from andon.core.queue.standing import slots
from andon.core.state import Attempt, Landing, Repository, Run, State, proof_key
from andon.core.stations import check, compared, land
from andon.schema import effects as f
from andon.schema.events import Member
from andon.schema.ids import Digest, Oid


def pending(state: State, at: int) -> list[f.Effect]:
    """All deeds that are owed at `at` (unix milliseconds), landings first. Deeds that wait for a retry are left out."""
    owed: list[f.Effect] = []
    for landing in sorted(state.landings.values(), key=lambda landing: int(landing.landing[1:])):
        owed += landing_owes(state, landing, at)
    for name in sorted(state.repos):
        owed += repository_owes(state, state.repos[name], at)
    for task in state.open:
        revert = reverts.owes(state, state.tasks[task])
        if revert is not None and due(state, task, "make-revert", at):
            owed.append(revert)
        seal = sealing.owes(state, state.tasks[task])
        if seal is not None and due(state, task, "seal-change", at):
            owed.append(seal)
    for attempt in sorted(state.attempts.values(), key=lambda attempt: attempt.fence):
        owed += attempt_owes(state, attempt, at)
    owed += [one for one in notes.owes(state) if due(state, one.repo, str(type(one).__struct_config__.tag), at)]
    owed += [deed for deed in gates.owes(state) if due(state, deed.task, "tell-gate", at)]
    owed += gates.owes_problems(state, at)
    for run in sorted(state.runs.values(), key=lambda run: (run.purpose != "landing", int(run.run[1:]))):
        owed += run_owes(state, run, at)
    return owed


def due(state: State, subject: str, effect: str, at: int) -> bool:
    """Whether a deed may be tried now."""
    tries = state.tries.get(f"{subject} {effect}")
    return tries is None or tries.not_before <= at


def tries_of(state: State, subject: str, effect: str) -> int:
    """How often a deed failed so far."""
    tries = state.tries.get(f"{subject} {effect}")
    return tries.tries if tries else 0


# --- attempts --------------------------------------------------------------------------------------------------------


def attempt_owes(state: State, attempt: Attempt, at: int) -> Iterator[f.Effect]:
    """The next step of an attempt, and beside it what a running one needs."""
    if attempt.phase == "running":
        if due(state, attempt.attempt, "watch-session", at):
            yield f.WatchSession(attempt=attempt.attempt, session=attempt.session, sitting=attempt.sitting)
        for n, text in attempt.answers:
            if due(state, attempt.attempt, "deliver-answer", at):
                yield f.DeliverAnswer(attempt=attempt.attempt, n=n, text=text)
        for owed in sessions.owes(state, attempt, at):
            if due(state, attempt.attempt, str(type(owed).__struct_config__.tag), at):
                yield owed
    step = next_step(state, attempt)
    if step is not None and due(state, attempt.attempt, str(type(step).__struct_config__.tag), at):
        yield step


def next_step(state: State, attempt: Attempt) -> f.Effect | None:
    """The one deed that brings an attempt forward; None when there is nothing to do but wait."""
    if attempt.phase == "closed":
        return remove(state, attempt)
    if not attempt.live:
        return None
    if attempt.stop_asked and attempt.phase != "ended":
        return stop(state, attempt) if not attempt.stopped else None
    if attempt.phase in ("claimed", "prepared") and not state.repos[attempt.repo].is_trusted:
        return None
    if attempt.phase == "claimed":
        return prepare(state, attempt)
    if attempt.phase == "prepared":
        return start(state, attempt)
    if attempt.phase == "ended":
        return read(state, attempt)
    if attempt.finish_asked and not attempt.finish_done:
        return f.EndSession(attempt=attempt.attempt, sitting=attempt.sitting)
    if attempt.pause_asked != attempt.suspended:
        return f.SuspendSession(attempt=attempt.attempt, suspend=attempt.pause_asked)
    return None


def prepare(state: State, attempt: Attempt) -> f.Effect:
    """Its own checkout."""
    repo, task = state.repos[attempt.repo], state.tasks[attempt.task]
    return f.PrepareCheckout(
        attempt=attempt.attempt, task=attempt.task, repo=attempt.repo, git_dir=repo.git_dir, path=repo.path, base=attempt.base,
        start=attempt.start, previous=task.previous.commit if task.previous else Oid(""), checkout=repo.settings.checkout,
        port=attempt.port, try_=tries_of(state, attempt.attempt, "prepare-checkout"), rebase=attempt.rebase,
        structured=repo.settings.queue.structured == "propose", walls=walls.of_agents(repo),
        hide=seen.walls_of(state, attempt).hide,
    )


def start(state: State, attempt: Attempt) -> f.Effect | None:
    """Its agent in a session; nothing when the agent is no longer configured (the task's reasons say so)."""
    repo, task = state.repos[attempt.repo], state.tasks[attempt.task]
    agent = repo.settings.agents.get(attempt.agent)
    if agent is None:
        return None
    around = seen.walls_of(state, attempt)
    return f.StartSession(
        attempt=attempt.attempt, task=attempt.task, repo=attempt.repo, title=task.title, prompt=prompt_for(task, attempt, around),
        agent=agent, path=attempt.path, base=attempt.base, port=attempt.port, ports=attempt.ports,
        try_=tries_of(state, attempt.attempt, "start-session"), sitting=attempt.sitting, resume=attempt.resume,
        whole=whole_prompt(task, attempt, around) if attempt.resume else "", repository=repo.path,
        git_dir=repo.git_dir, walls=around,
    )


def stop(state: State, attempt: Attempt) -> f.Effect:
    """Its end, after a snapshot."""
    repo = state.repos[attempt.repo]
    return f.StopSession(
        attempt=attempt.attempt, repo=attempt.repo, git_dir=repo.git_dir, path=attempt.path, base=attempt.base,
    )


def read(state: State, attempt: Attempt) -> f.Effect:
    """What it committed."""
    repo = state.repos[attempt.repo]
    others = tuple(
        task.work.commit for other in state.open
        if (task := state.tasks[other]).repo == attempt.repo and task.task != attempt.task and task.work and not task.landed
    )
    return f.ImportWork(
        attempt=attempt.attempt, task=attempt.task, repo=attempt.repo, git_dir=repo.git_dir, path=attempt.path,
        base=attempt.base, fence=attempt.fence, others=others, watch=watch_of(repo.settings.policy),
        try_=tries_of(state, attempt.attempt, "import-work"),
    )


def remove(state: State, attempt: Attempt) -> f.Effect:
    """Its checkout, after a snapshot. Teardown commands that nobody trusted are left out."""
    repo = state.repos[attempt.repo]
    checkout = repo.settings.checkout
    return f.RemoveCheckout(
        attempt=attempt.attempt, repo=attempt.repo, git_dir=repo.git_dir, path=attempt.path, base=attempt.base,
        checkout=checkout if repo.is_trusted else msgspec.structs.replace(checkout, teardown=()), walls=walls.of_agents(repo),
    )


# --- proof and landing -----------------------------------------------------------------------------------------------


def run_owes(state: State, run: Run, at: int) -> Iterator[f.Effect]:
    """A check run, once the tests of its base are known or will not be."""
    repo = state.repos[run.repo]
    known = repo.settings.checks.get(run.check)
    if known is None or not repo.is_trusted or not due(state, run.run, "run-check", at):
        return
    task, bare = state.tasks.get(run.task), compared.as_it_stands(known)
    commit, base = base_of(state, repo, run)
    names = Digest("")
    if base and compared.base_run(known):
        definition = check.definition_of(bare, repo.settings)
        waits = run.purpose == "change" or known.baseline
        if waits and check.baseline_run(state, repo, base, definition) is not None:
            return
        proof = state.proofs.get(proof_key(run.repo, base, definition))
        names = proof.names if proof else Digest("")
    yield f.RunCheck(
        run=run.run, repo=run.repo, git_dir=repo.git_dir, commit=run.commit, tree=run.tree,
        check=compared.of_change(known, task) if run.purpose == "change" else bare,
        definition=run.definition, checkout=repo.settings.checkout, base_names=names, landing=run.purpose == "landing",
        slots=slots(state, repo), walls=repo.settings.sandbox, base=commit, base_tree=base,
        rules=compared.rules_of(known, repo.settings),
    )


def base_of(state: State, repo: Repository, run: Run) -> tuple[Oid, Oid]:
    """Commit and tree that a run is held against; nothing for one that looks at a tree for itself."""
    task = state.tasks.get(run.task)
    if run.purpose == "landing":
        return repo.trunk, repo.tree
    if run.purpose == "change" and task is not None and task.work is not None:
        return task.work.base, task.work.base_tree
    return Oid(""), Oid("")


def landing_owes(state: State, landing: Landing, at: int) -> Iterator[f.Effect]:
    """The merge, or the one move of the target."""
    repo = state.repos[landing.repo]
    how = repo.settings.queue
    if not landing.candidate:
        if due(state, landing.landing, "merge-candidate", at):
            yield f.MergeCandidate(
                landing=landing.landing, repo=landing.repo, git_dir=repo.git_dir, target=repo.settings.target, onto=landing.onto,
                members=merged(state, landing), how=how.land, green=how.history == "green", drivers=how.drivers,
                at=landing.planned_at, try_=tries_of(state, landing.landing, "merge-candidate"),
            )
    elif land.ready(state, landing) and due(state, landing.landing, "move-target", at):
        yield f.MoveTarget(
            landing=landing.landing, repo=landing.repo, git_dir=repo.git_dir, target=repo.settings.target, old=landing.onto,
            new=landing.candidate, tree=landing.tree, members=merged(state, landing), steps=landing.steps, how=how.land,
            green=how.history == "green", drivers=how.drivers, at=landing.planned_at,
        )


def merged(state: State, landing: Landing) -> tuple[f.MergeMember, ...]:
    """The members with what their merges say."""
    found = []
    for member in landing.members:
        task = state.tasks[member.task]
        attempt = task.work.attempt if task.work else ""
        level = walls.level_of(task)
        trailers = (f"Andon-Task: {member.task}", *([f"Andon-Attempt: {attempt}"] if attempt else []),
                    *([f"Andon-Walls: {level}"] if level else []), *sealed(member))
        found.append(f.MergeMember(
            task=member.task, commit=member.commit, at=member.at, title=task.title,
            trailers=(*trailers, *([f"Andon-Reverts: {task.reverts}"] if task.reverts else [])),
        ))
    return tuple(found)


def sealed(member: Member) -> tuple[str, ...]:
    """The names of a member's evidence."""
    seal = member.seal
    return () if seal is None else (
        f"Andon-Bundle: sha256:{seal.bundle}", f"Andon-Policy: sha256:{seal.policy}", f"Andon-Ledger: {seal.ledger}",
    )


def repository_owes(state: State, repo: Repository, at: int) -> Iterator[f.Effect]:
    """The person's branch follows trunk, asked once for each trunk commit and for each time a person wants it; then the remote."""
    record = sealing.record_owed(repo)
    if record is not None and due(state, repo.repo, "record-landing", at):
        yield record
    wanted = repo.mirror_tried != repo.trunk or repo.mirror_asked > repo.mirror_answered
    if repo.trunk and wanted and due(state, repo.repo, "mirror-target", at):
        yield f.MirrorTarget(
            repo=repo.repo, git_dir=repo.git_dir, path=repo.path, target=repo.settings.target, oid=repo.trunk,
            asked=repo.mirror_asked if repo.mirror_asked > repo.mirror_answered else 0,
        )
    queue, how = repo.queue, repo.settings.queue
    landed = bool(queue.landed) and queue.landed[-1].commit == repo.trunk and bool(queue.landed[-1].task)
    if how.publish != "none" and landed and queue.published != repo.trunk and repo.is_trusted \
            and due(state, repo.repo, "publish-target", at):
        known = state.tasks.get(queue.landed[-1].task)
        title = f"{known.task}: {known.title}" if known else f"Landed on {repo.settings.target}"
        yield f.PublishTarget(
            repo=repo.repo, git_dir=repo.git_dir, path=repo.path, target=repo.settings.target, oid=repo.trunk, how=how.publish,
            remote=how.remote, title=title, body=known.spec[:4000] if known else "",
        )
