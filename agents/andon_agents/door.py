"""The way to an agent's own server through the walls of its session: a unix socket in the job's directory. Knows no protocol."""

import os
from pathlib import Path

import aiohttp


class Door:
    """One session's door. Whatever address is asked for, it is dialled; nothing that answers can send us elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path, self._folder = path, -1

    def connector(self) -> aiohttp.UnixConnector:
        """For one client. Raises OSError when the job's directory is gone."""
        if self._folder < 0:  # a job's own path may be longer than a socket's
            self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return aiohttp.UnixConnector(f"/proc/self/fd/{self._folder}/{self._path.name}")

    def close(self) -> None:
        """Let go."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
