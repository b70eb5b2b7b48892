"""`python -m andon.gateway HOME`: one gateway of one factory, on loopback, until SIGTERM."""

import asyncio
import sys
from pathlib import Path

from andon.gateway.serve import serve


def main() -> int:
    """Serve until told to end. 75: another one of this factory is running. 64: no home was named."""
    if len(sys.argv) != 2:
        print("usage: python -m andon.gateway HOME", file=sys.stderr)
        return 64
    return asyncio.run(serve(Path(sys.argv[1]).absolute()))


if __name__ == "__main__":
    sys.exit(main())
