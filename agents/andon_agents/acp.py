"""Any agent that speaks the Agent Client Protocol: `use = "acp"`, `command = ["gemini", "--acp"]`. Knows argv; runs nothing."""

import os
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

import andon
import andon_agents
from andon.schema.agent import Assignment, Channel, Installed, Launch, Login, Profile, SessionFacts
from andon.schema.errors import Mistake
from andon.schema.settings import AgentSettings
from andon.schema.signals import AnySignal, Line

from . import acp_files
from .acp_read import read
from .command import filled, found


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that was seen to speak the protocol."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    base: str = ""
    """The variable that names its provider's address; with `path` behind the gateway's."""
    path: str = ""
    install: str = ""


THEIRS = "ANDON_ACP_PYTHONPATH"
"""What PYTHONPATH is to be for the agent itself: our client's own is not its business."""
KNOWN = {
    "gemini": Known(argv=("gemini", "--acp"), env={"GEMINI_CLI_TRUST_WORKSPACE": "true"}, keys=("GEMINI_API_KEY",),
                    base="GOOGLE_GEMINI_BASE_URL", install="npm install -g @google/gemini-cli"),
    "qwen": Known(argv=("qwen", "--acp"), keys=("OPENAI_API_KEY",), base="OPENAI_BASE_URL", path="/v1",
                  install="npm install -g @qwen-code/qwen-code"),
    "opencode": Known(argv=("opencode", "acp"), install="npm install -g opencode-ai"),
    "copilot": Known(argv=("copilot", "--acp"), env={"COPILOT_AUTO_UPDATE": "false"}, keys=("COPILOT_PROVIDER_API_KEY",),
                     base="COPILOT_PROVIDER_BASE_URL", path="/v1", install="npm install -g @github/copilot"),
}
"""By the program's name. Another program runs just as well; then its own settings say where its provider is."""


class AcpAdapter(msgspec.Struct, frozen=True):
    """Runs our client in the pane, and the agent below it."""

    name: str = "acp"

    def detect(self) -> tuple[Installed, ...]:
        """Agents on PATH that are known to speak the protocol; starts none."""
        found = {name: shutil.which(known.argv[0]) for name, known in KNOWN.items()}
        return tuple(Installed(adapter=self.name, binary=binary) for binary in found.values() if binary)

    def profile(self) -> Profile:
        """What the protocol tells."""
        return Profile(
            channel="acp", interactive=True, resumes=True, answers=True, metered="gateway",
            install="an agent that speaks the Agent Client Protocol, for example " + KNOWN["gemini"].install,
            sees=("began", "turn-began", "tool-began", "tool-ended", "permission-wanted", "ask-settled", "spoke", "turn-ended",
                  "turn-failed", "usage", "ended"),
            blind=("why an agent tries a model call again, and until when", "compactions and sub-agents",
                   "a message while it works is read after its turn", "the reason of a denial: the protocol carries none",
                   "an agent that says an error as ordinary words"),
            keys=tuple(dict.fromkeys(key for known in KNOWN.values() for key in known.keys)),
            processes=tuple(KNOWN),
        )

    def login(self, agent: AgentSettings, environ: Mapping[str, str]) -> Login:
        """Known for agents whose key is a variable; the others keep their own login."""
        known = KNOWN.get(Path(agent.command[0]).name if agent.command else "")
        variables = {**environ, **agent.env}
        if known is None or not known.keys:
            return Login(state="unknown", because="this agent keeps its login to itself")
        if any(variables.get(key) for key in known.keys):
            return Login(state="ready", because=f"{known.keys[0]} is set")
        key = known.keys[0]
        return Login(state="unknown", because=f"{key} is not set; it may have a login of its own", mend=f"set {key}")

    def launch(self, assignment: Assignment) -> Launch:
        """Our client with the agent's command behind it. Raises Mistake when there is none or its program is missing."""
        agent = assignment.agent
        section = f"[agents.{agent.name}] in andon.toml"
        if not agent.command:
            raise Mistake(f"agent `{agent.name}` has no command", where=section,
                          mend='add command = ["gemini", "--acp"], or another program that speaks the Agent Client Protocol')
        command = filled((*agent.command, *agent.args), assignment)
        program = found(command[0], agent, assignment.checkout)
        known = KNOWN.get(Path(command[0]).name)
        if not program:
            hint = f" ({known.install})" if known else ""
            raise Mistake(f"agent `{agent.name}` cannot start: there is no program `{command[0]}`", where=section,
                          mend=f"install it{hint}, or write its full path in command")
        options = ["--job", str(assignment.job), "--prompt", str(assignment.prompt_file), "--cwd", str(assignment.checkout),
                   "--approve", agent.approve, "--mcp", msgspec.json.encode(assignment.mcp).decode()]
        options += ["--resume", assignment.resume] if assignment.resume else []
        argv = (sys.executable, "-P", "-m", "andon_agents.acp_client", *options, "--", program, *command[1:])
        env = {**(known.env if known else {}), **agent.env, **_routed(assignment, known), **_import_path(agent.env),
               "PWD": str(assignment.checkout)}
        if Path(command[0]).name == "opencode":
            env |= _opencode(assignment)
        notes = () if assignment.gateway else ("no gateway: limits and hung streams are hardly seen",)
        return Launch(argv=argv, env=env, interactive=True, channel="acp", conversation=assignment.resume, notes=notes,
                      programs=(program,), shares=(acp_files.LINES, f"{acp_files.SAYS}/"))

    def read(self, line: Line) -> tuple[AnySignal, ...]:
        """The signals in a message."""
        return read(line)

    def channel(self, session: SessionFacts) -> Channel | None:
        """The files of the session's client."""
        from .acp_channel import AcpChannel

        return AcpChannel(session)


def _routed(assignment: Assignment, known: Known | None) -> dict[str, str]:
    """The provider's address: the gateway, else what the settings name."""
    host = assignment.gateway or assignment.agent.upstream
    return {known.base: host.rstrip("/") + known.path} if known and known.base and host else {}


def _opencode(assignment: Assignment) -> dict[str, str]:
    """opencode takes its settings as its own adapter gives them."""
    from .opencode import ADAPTER as opencode

    return opencode.surroundings(assignment)


def _import_path(env: dict[str, str]) -> dict[str, str]:
    """PYTHONPATH for what a fresh interpreter would not find by itself."""
    packages = (*andon_agents.__path__, *andon.__path__, *msgspec.__path__)
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    roots = [root for root in dict.fromkeys(str(Path(package).parent) for package in packages) if root not in installed]
    theirs = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
    return {"PYTHONPATH": os.pathsep.join((*roots, *theirs)), THEIRS: os.pathsep.join(theirs)} if roots else {}


ADAPTER = AcpAdapter()
"""The entry point `acp`."""
