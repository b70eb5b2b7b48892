"""Claude Code: its terminal program with hooks of our own, and what its hooks, transcript and JSON output mean. Decides nothing."""

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, Seed, SessionFacts
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from . import claude_read
from .seeds import HOOK_S, HOOK_WAIT_S, hook_command, instructions, program, section, servers, spoken, version_of, written

EVENTS = (
    "SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest", "PermissionDenied",
    "Notification", "Stop", "StopFailure", "SubagentStart", "SubagentStop", "PreCompact", "PostCompact", "SessionEnd",
)
INSTALL = "npm install -g @anthropic-ai/claude-code"
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
"""Set by people whose models run at a cloud provider: its own login, its own address."""
CREDENTIALS = ".claude/.credentials.json"
NESTED = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CONFIG_DIR")
"""What a session of this agent around us would leave in the environment."""
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_INSTALLATION_CHECKS": "1",
         "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY": "1"}


class ClaudeAdapter(msgspec.Struct, frozen=True):
    """`use = "claude"`."""

    name: str = "claude"

    def detect(self) -> tuple[Installed, ...]:
        """The program on PATH; its version is read from the package beside it, nothing is started."""
        binary = shutil.which("claude")
        return (Installed(adapter=self.name, binary=binary, version=version_of(Path(binary))),) if binary else ()

    def launch(self, assignment: Assignment) -> Launch:
        """Its terminal program on the prompt, or on the conversation that it goes on with. Raises Mistake when it is missing."""
        agent = assignment.agent
        binary = program("claude", agent, assignment.person, INSTALL)
        environ = {**assignment.person, **agent.env}
        known = bool(assignment.resume) and _transcript(assignment.home, assignment.resume)
        conversation = assignment.resume if known else _fresh(assignment)
        if assignment.resume and not known:
            assignment = msgspec.structs.replace(assignment, prompt=assignment.whole or assignment.prompt)
        argv = [binary, "--settings", str(assignment.home / "claude-settings.json"),
                *(("--resume",) if known else ("--session-id",)), conversation,
                "--permission-mode", "bypassPermissions" if agent.approve == "all" else "default"]
        argv += ["--model", agent.model] if agent.model else []
        argv += ["--mcp-config", str(assignment.home / "claude-mcp.json"), "--strict-mcp-config"] if assignment.mcp else []
        told = instructions(assignment.checkout, "CLAUDE.md", ".claude/CLAUDE.md")
        argv += ["--append-system-prompt-file", str(told.shared)] if told.shared and not told.own else []
        notes = [] if known or not assignment.resume else [f"the conversation {assignment.resume} left no transcript: a new one"]
        env = {"ANDON_JOB": str(assignment.job), "CLAUDE_CONFIG_DIR": str(assignment.home / ".claude"), **QUIET}
        if assignment.gateway and _fits_gateway(environ):
            env["ANTHROPIC_BASE_URL"] = assignment.gateway
        elif assignment.gateway:
            notes.append("no gateway: its login is no API key")
        if agent.approve == "all" and os.geteuid() == 0:
            env["IS_SANDBOX"] = "1"  # without it the program refuses to run unasked as root
        return Launch(argv=(*argv, *agent.args, "--", spoken(assignment)), env={**env, **agent.env}, drop=NESTED,
                      seeds=_seeds(assignment, environ), interactive=True, channel="hooks" if assignment.hook else "none",
                      conversation=conversation, notes=tuple(notes))

    def profile(self) -> Profile:
        """Everything but an interruption by Esc comes through hooks; that is in the transcript."""
        return Profile(
            channel="hooks", interactive=True, resumes=True, answers=True, metered="reported", install=INSTALL,
            processes=("claude",), hosts=("downloads.claude.ai", "github.com"),
            upstream="https://api.anthropic.com", base_variable="ANTHROPIC_BASE_URL", keys=KEYS,
            login_hosts=("platform.claude.com", "console.anthropic.com"),
            sees=("began", "turn-began", "took", "tool-began", "tool-ended", "permission-wanted", "answer-wanted", "ask-settled",
                  "retrying", "spoke", "turn-ended", "turn-failed", "compacting", "helper", "usage", "ended"),
            blind=("a model call that is tried again says so only through the gateway or in JSON output",
                   "that a person said yes at its screen shows only when the tool has ended"),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """An API key, a cloud provider, or a copy of the person's own login."""
        around = {**environ, **agent.env}
        for key in (*KEYS, *CLOUDS):
            if around.get(key):
                return Login(state="ready", because=f"{key} is set")
        file = Path(around.get("CLAUDE_CONFIG_DIR") or Path(around.get("HOME") or "/") / ".claude") / ".credentials.json"
        if file.is_file():
            if agent.login == "copy":
                return Login(state="ready", because=f"a copy of {file} is given to each session")
            return Login(state="missing", because="no API key is set, and your own login is not given to sessions",
                         mend=f'set ANTHROPIC_API_KEY, or write login = "copy" into {section(agent)}')
        if around.get("CLAUDE_CODE_OAUTH_TOKEN"):
            return Login(state="ready", because="CLAUDE_CODE_OAUTH_TOKEN is set")
        return Login(state="missing", because="neither an API key nor a login was found",
                     mend=f'set ANTHROPIC_API_KEY; or run `claude`, log in, and write login = "copy" into {section(agent)}')

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """Signals of a hook, a line of the transcript or of JSON output, or one of the daemon's own looks."""
        return claude_read.read(line)

    def channel(self, session: SessionFacts) -> Channel | None:
        """None: its hooks speak through files."""
        return None


def _seeds(assignment: Assignment, environ: Mapping[str, str]) -> tuple[Seed, ...]:
    """The files of the private home: what its first-run screens would ask, our hooks, our server."""
    key = environ.get("ANTHROPIC_API_KEY", "")
    roots = [path for path in (assignment.checkout, assignment.repository) if path != Path()]
    places = {str(place) for path in roots for place in (path, path.resolve())}
    state = {
        "hasCompletedOnboarding": True, "theme": "dark", "autoUpdates": False, "bypassPermissionsModeAccepted": True,
        "customApiKeyResponses": {"approved": [key[-20:]] if key else [], "rejected": []},
        "projects": {place: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True} for place in sorted(places)},
    }
    settings: dict[str, object] = {
        "skipDangerousModePermissionPrompt": True, "spinnerTipsEnabled": False,
        "permissions": {"allow": [f"Read(/{assignment.prompt_file})", *(("mcp__andon",) if assignment.mcp else ())]},
    }
    if assignment.hook:
        settings["hooks"] = {event: [_hook(assignment.hook, event)] for event in EVENTS}
    seeds = [written(".claude/.claude.json", state), written("claude-settings.json", settings, always=True)]
    if assignment.mcp:
        seeds.append(written("claude-mcp.json", servers(assignment.mcp, assignment.job), always=True))
    if assignment.agent.login == "copy":
        own = Path(environ.get("CLAUDE_CONFIG_DIR") or Path(environ.get("HOME") or "/") / ".claude")
        seeds.append(Seed(path=CREDENTIALS, copy=str(own / ".credentials.json")))
    return tuple(seeds)


def _hook(hook: tuple[str, ...], event: str) -> dict[str, object]:
    """One event's entry in the settings."""
    asks = event == "PermissionRequest"
    entry = {"type": "command", "command": hook_command(hook, event), "timeout": HOOK_WAIT_S if asks else HOOK_S}
    return {**({"matcher": "*"} if "Tool" in event or "Permission" in event else {}), "hooks": [entry]}


def _fits_gateway(environ: Mapping[str, str]) -> bool:
    """Whether its model calls may go through another address: only with a key of one's own."""
    return any(environ.get(key) for key in KEYS) and not any(environ.get(cloud) for cloud in CLOUDS)


def _transcript(home: Path, conversation: str) -> bool:
    """Whether a conversation can be gone on with."""
    return any((home / ".claude" / "projects").glob(f"*/{conversation}.jsonl")) if _plain(conversation) else False


def _plain(conversation: str) -> bool:
    """Whether this is a name and no pattern."""
    return bool(conversation) and all(letter.isalnum() or letter == "-" for letter in conversation)


def _fresh(assignment: Assignment) -> str:
    """A name for a new conversation: the same for the same start, another once the one before has left a transcript."""
    for sitting in range(1000):
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"andon:{assignment.job}:{assignment.attempt}:{sitting}"))
        if not _transcript(assignment.home, name):
            return name
    return str(uuid.uuid4())


ADAPTER = ClaudeAdapter()
"""The entry point `claude`."""
