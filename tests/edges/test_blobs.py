"""What a blob store may be relied on for."""

import hashlib
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from andon.edges.blobs import Blobs
from andon.schema.errors import Mistake
from andon.schema.ids import Digest
from andon.schema.layout import Layout
from ledgerkit import factory


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return factory(tmp_path / "factory")


@pytest.fixture
def blobs(where: Layout) -> Blobs:
    return Blobs(where)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("data", [b"", b"\x00\xff\n", b"x" * 3_000_000])
def test_a_blob_comes_back_under_the_digest_of_its_content(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest() and blobs.has(digest) and blobs.get(digest) == data


def test_a_second_put_writes_nothing(blobs: Blobs, where: Layout) -> None:
    path = where.blob(blobs.put(b"log"))
    before = path.stat()
    blobs.put(b"log")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_blob_that_was_changed_on_disk_is_refused_and_put_right_by_the_next_put(blobs: Blobs, where: Layout) -> None:
    digest = blobs.put(b"214 tests passed")
    where.blob(digest).write_bytes(b"215 tests passed")
    with pytest.raises(Mistake, match="changed on disk"):
        blobs.get(digest)
    assert blobs.put(b"214 tests passed") == digest and blobs.get(digest) == b"214 tests passed"


def test_a_missing_blob_is_a_mistake_and_not_there(blobs: Blobs) -> None:
    digest = Digest("0" * 64)
    assert not blobs.has(digest)
    with pytest.raises(Mistake, match="cannot be read"):
        blobs.get(digest)


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n", "../" + "0" * 61])
def test_a_name_that_is_no_digest_reaches_no_file(blobs: Blobs, where: Layout, name: str) -> None:
    for ask in (blobs.get, blobs.has):
        with pytest.raises(Mistake, match="no name of a blob"):
            ask(Digest(name))


def test_blobs_are_their_owners_alone(blobs: Blobs, where: Layout) -> None:
    path = where.blob(blobs.put(b"secret"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(parent.stat().st_mode) for parent in (path.parent, path.parent.parent)] == [0o700, 0o700]


@pytest.mark.usefixtures("small_files")
def test_a_blob_that_does_not_fit_leaves_nothing_behind(blobs: Blobs, where: Layout) -> None:
    with pytest.raises(Mistake, match="cannot be written") as caught:
        blobs.put(b"x" * 100_000)
    assert "disk" in caught.value.problem.mend and not [path for path in where.home.rglob("*") if path.is_file()]


def test_half_written_blobs_of_a_dead_daemon_are_swept_and_whole_ones_stay(blobs: Blobs, where: Layout) -> None:
    digest = blobs.put(b"whole")
    (where.blob(digest).parent / ".tmp-dead").write_bytes(b"ha")
    assert blobs.sweep() == 1 and blobs.sweep() == 0 and blobs.get(digest) == b"whole"


def test_many_threads_may_put_the_same_and_different_blobs(blobs: Blobs, where: Layout) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda n: blobs.put(b"%d" % (n % 10)), range(100)))
    assert len(set(digests)) == 10 and {blobs.get(digest) for digest in digests} == {b"%d" % n for n in range(10)}
    assert not list(where.home.rglob(".tmp-*"))
