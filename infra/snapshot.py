"""A work tree as a commit: HEAD plus what is changed and untracked but not ignored, made outside the user's repository.

git itself decides what belongs in (ignore rules, attributes, filters, sparse checkouts), so the user's repository is its
`GIT_DIR`; but the index is a copy and new objects go to a bare mirror below the data directory, whose
`objects/info/alternates` names the user's objects. Neither `.git` nor the index nor the work tree is ever written. The
same state gives the same commit, so a second run of it is the same source. One ref per commit keeps it fetchable:
a runner fetches it from the mirror.
"""

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

import msgspec

from infra.git import GitError, Repository, ask, environment, git, locate

WORKFLOWS = ".github/workflows/"
AUTHOR = {"NAME": "Ledgermill", "EMAIL": "snapshot@ledgermill.invalid"}


class SourceFile(msgspec.Struct, frozen=True):
    """A file of the snapshot; path relative to the top of the repository."""

    path: str
    content: bytes


class Snapshot(msgspec.Struct, frozen=True):
    """What a run of the work tree needs to know.

    sha: the commit (HEAD itself where nothing is changed). mirror: the bare repository that holds it. subject: first line
    of HEAD's message. changed: paths that differ from `base`, None when there is nothing to compare with. dirty: whether
    sha holds local changes. left_out: what git could not read, in its words.
    """

    repository: Repository
    sha: str
    mirror: Path
    dirty: bool
    subject: str
    base: str | None
    changed: tuple[str, ...] | None
    workflows: tuple[SourceFile, ...]
    left_out: tuple[str, ...] = ()


def take(directory: Path, data: Path) -> Snapshot:
    """Snapshot the repository around `directory` into a mirror below `data`. Raises NotARepository or GitError."""
    repository = locate(directory)
    mirror = _mirror(repository, data)
    status = git("status", "--porcelain", "-z", "--untracked-files=normal", directory=repository.root)
    complaints: tuple[str, ...] = ()
    if repository.head is not None and not status.stdout:
        sha = repository.head
    else:
        tree, complaints = _write_tree(repository, mirror)
        sha = _commit(repository, mirror, tree)
    git("update-ref", f"refs/ledgermill/{sha}", sha, directory=mirror)
    base = _base(repository, mirror, sha)
    return Snapshot(
        repository=repository,
        sha=sha,
        mirror=mirror,
        dirty=sha != repository.head,
        subject=(ask("log", "-1", "--format=%s", directory=repository.root) or "") if repository.head else "",
        base=base,
        changed=_changed(mirror, base, sha),
        workflows=files_of(mirror, sha),
        left_out=complaints,
    )


def default_branch(taken: Snapshot) -> tuple[str, str, tuple[SourceFile, ...]] | None:
    """Ref, commit and workflow files of the default branch, as near as they are known here; None where HEAD is on it."""
    repository = taken.repository
    ref = f"refs/heads/{repository.default_branch}"
    if repository.ref == ref:
        return None
    for place in (f"refs/remotes/origin/{repository.default_branch}", ref):
        sha = ask("rev-parse", "--verify", "--quiet", f"{place}^{{commit}}", directory=repository.root)
        if sha is not None:
            git("update-ref", f"refs/ledgermill/{sha}", sha, directory=taken.mirror)
            return ref, sha, files_of(taken.mirror, sha)
    return None


def files_of(mirror: Path, sha: str) -> tuple[SourceFile, ...]:
    """The workflow files of a commit, by path."""
    listed = git("ls-tree", "-z", "--format=%(objecttype) %(objectname) %(path)", sha, WORKFLOWS, directory=mirror).stdout
    wanted = [entry.split(b" ", 2) for entry in listed.split(b"\0") if entry]
    blobs = [(name, path.decode(errors="surrogateescape")) for kind, name, path in wanted if kind == b"blob"]
    chosen = [(name, path) for name, path in blobs if path.endswith((".yml", ".yaml"))]
    batch = git("cat-file", "--batch", directory=mirror, content=b"".join(name + b"\n" for name, _ in chosen)).stdout
    found, at = [], 0
    for _, path in chosen:
        end = batch.index(b"\n", at)
        size = int(batch[at:end].rsplit(b" ", 1)[1])
        found.append(SourceFile(path, batch[end + 1 : end + 1 + size]))
        at = end + size + 2
    return tuple(found)


def _mirror(repository: Repository, data: Path) -> Path:
    """The bare repository of this one below `data`, made on first use; its borders follow the user's on every use."""
    name = sha256(str(repository.common_dir).encode(errors="surrogateescape")).hexdigest()[:16]
    data.mkdir(parents=True, exist_ok=True, mode=0o700)  # before anything in it: a parent made on the way would be open to all
    mirror = data.absolute() / "git" / f"{repository.root.name}-{name}.git"
    if not (mirror / "HEAD").exists():
        mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(prefix="mirror-", dir=mirror.parent))
        git("init", "--quiet", "--bare", f"--object-format={repository.object_format}", "--template=", draft, directory=mirror.parent)
        git("config", "uploadpack.allowAnySHA1InWant", "true", directory=draft)
        try:
            draft.rename(mirror)
        except OSError:  # another run of this repository made it in the meantime
            shutil.rmtree(draft)
    _follow(mirror / "objects" / "info" / "alternates", f"{repository.common_dir / 'objects'}\n".encode(errors="surrogateescape"))
    shallow = repository.common_dir / "shallow"
    _follow(mirror / "shallow", shallow.read_bytes() if shallow.exists() else None)
    return mirror


def _follow(path: Path, content: bytes | None) -> None:
    """Make the file hold `content`, or not exist; written only when it differs, and never seen half-written."""
    if content is None:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
            draft.write(content)
        Path(draft.name).rename(path)


def _write_tree(repository: Repository, mirror: Path) -> tuple[str, tuple[str, ...]]:
    """The tree of the work tree's state, its objects in the mirror; and what git could not add, in its words.

    git touches the time of an object that it is about to write and finds in an alternate. So the objects are written
    where the user's are out of sight, and moved. Only the old contents of changed files are brought there, because git
    looks at them for line endings.
    """
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=mirror.parent) as scratch:
        objects = Path(scratch) / "objects"
        objects.mkdir()
        place: dict[str, str | Path] = {
            "GIT_DIR": repository.git_dir,
            "GIT_WORK_TREE": repository.root,
            "GIT_INDEX_FILE": _own_index(repository, Path(scratch)),
        }
        reading = environment(place)
        writing = environment(place | {"GIT_OBJECT_DIRECTORY": objects}, {"lfs.storage": str(mirror / "lfs")})
        changes = git("diff-files", "--raw", "-z", "--ignore-submodules", directory=repository.root, env=reading).stdout.split(b"\0")
        old = {change.split(b" ")[2] for change in changes if change.startswith(b":")} - {b"0" * 40, b"0" * 64}
        if old:
            pack = git("pack-objects", "-q", "--stdout", directory=repository.root, env=reading, content=b"\n".join(old) + b"\n").stdout
            git("unpack-objects", "-q", directory=repository.root, env=writing, content=pack)
        added = git("add", "--all", "--ignore-errors", "--", ".", directory=repository.root, env=writing, accept=(0, 1))
        tree = git("write-tree", "--missing-ok", directory=repository.root, env=writing).stdout.decode().strip()
        for loose in objects.glob("??/*"):
            target = mirror / "objects" / loose.parent.name / loose.name
            target.parent.mkdir(exist_ok=True)
            loose.rename(target)
    words = added.stderr.decode(errors="replace").splitlines()
    return tree, tuple(line for line in words if line.startswith("error:"))


def _own_index(repository: Repository, scratch: Path) -> Path:
    """A copy of the user's index: its cached file states spare reading every file, and its time keeps them trustworthy."""
    own, theirs = scratch / "index", repository.git_dir / "index"
    if theirs.exists():
        shutil.copy2(theirs, own)
        own.chmod(0o600)
    return own


def _commit(repository: Repository, mirror: Path, tree: str) -> str:
    """The commit of the snapshot: HEAD where the tree is HEAD's, else a child of it with HEAD's time."""
    parents, seconds = [], "0"
    if repository.head is not None:
        facts = git("log", "-1", "--format=%T %ct", repository.head, directory=mirror).stdout.decode().split()
        if facts[0] == tree:
            return repository.head
        parents, seconds = ["-p", repository.head], facts[1]
    people = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in AUTHOR.items()}
    times = {f"GIT_{role}_DATE": f"@{seconds} +0000" for role in ("AUTHOR", "COMMITTER")}
    message = f"Local changes on {repository.ref.removeprefix('refs/heads/')}\n".encode(errors="replace")
    made = git("commit-tree", tree, *parents, directory=mirror, env=environment({**people, **times}), content=message)
    return made.stdout.decode().strip()


def _base(repository: Repository, mirror: Path, sha: str) -> str | None:
    """What a push of this state would add to: the fork point from the default branch, else the commit before."""
    for ref in (f"refs/remotes/origin/{repository.default_branch}", f"refs/heads/{repository.default_branch}"):
        fork = repository.head and ask("merge-base", repository.head, ref, directory=repository.root)
        if fork and fork != repository.head:
            return fork
    return ask("rev-parse", "--verify", "--quiet", f"{sha}^", directory=mirror)


def _changed(mirror: Path, base: str | None, sha: str) -> tuple[str, ...] | None:
    """Paths that differ between base and sha, both names of a rename; None without a base."""
    if base is None:
        return None
    try:
        listed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, sha, directory=mirror).stdout
    except GitError:  # a shallow or partial clone has no tree for the base
        return None
    return tuple(path.decode(errors="surrogateescape") for path in listed.split(b"\0") if path)
