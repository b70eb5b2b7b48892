"""One check run of a real repository: what a daemon proves, without a daemon."""

from typing import Any

import msgspec

from andon.edges import dsse
from andon.edges.blobs import Blobs
from andon.edges.check import Checks
from andon.edges.keys import Keys
from andon.edges.proving import Proving
from andon.schema.effects import RunCheck
from andon.schema.ids import Digest, Oid, RunId
from andon.schema.inputs import CheckRan
from andon.schema.settings import Check, Checkout, Walls
from checkoutkit import REPO, Floor
from gitkit import tree


class Prover:
    """Runs checks on commits of one repository; a base is run first where a check is compared with it, as the core does."""

    def __init__(self, shop: Floor, *, level: str = "none") -> None:
        self.shop, self.walls = shop, msgspec.convert({"level": level}, Walls)
        self.blobs, self._number = Blobs(shop.layout), 0
        self.checks = Checks(shop.layout, Proving(shop.layout), self.blobs, Keys.load(shop.layout.keys).verifier)

    async def run(self, check: Check, commit: str, base: str = "", *, names: str = "", **more: Any) -> CheckRan:
        """One run on a commit; `names`: what the run of its base kept."""
        self._number += 1
        fields: dict[str, Any] = {"definition": Digest("d"), "checkout": Checkout(), "walls": self.walls, **more}
        return await self.checks.run(RunCheck(
            run=RunId(f"R{self._number}"), repo=REPO, git_dir=str(self.shop.git_dir), commit=Oid(commit),
            tree=Oid(tree(self.shop.person, commit)), check=check, base=Oid(base),
            base_tree=Oid(tree(self.shop.person, base)) if base else Oid(""), base_names=Digest(names), **fields))

    async def change(self, check: Check, commit: str, base: str, **more: Any) -> CheckRan:
        """The run of a change, after that of its base."""
        bare = msgspec.structs.replace(check, protect=())
        return await self.run(check, commit, base, names=(await self.run(bare, base)).names, **more)

    def statement(self, ran: CheckRan) -> dict[str, Any]:
        """The predicate of the statement of a run."""
        found: dict[str, Any] = dsse.decode(self.blobs.get(ran.evidence)).statement["predicate"]
        return found
