"""How a person's terminal joins a session. Pure: argv out, nothing run."""

from andon.schema.layout import Layout


def attach_argv(layout: Layout, name: str) -> list[str]:
    """The command that puts this terminal into the session; `C-b d` leaves it again. Works from inside another tmux too."""
    return ["env", "-u", "TMUX", "-u", "TMUX_PANE", "tmux", "-u", "-S", str(layout.tmux_socket), "attach-session", "-t", f"={name}"]
