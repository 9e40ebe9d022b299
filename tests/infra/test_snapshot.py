"""The snapshot of a work tree, on real repositories of every awkward kind."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from infra import git, snapshot

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
}


def run_git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=directory, env=CLEAN, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def repository(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    run_git(root, "init", "-q")
    write(root, **(files or {"a": "one\n"}))
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "First")
    return root


def fingerprint(*roots: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, modification time and content of everything below the roots."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
            found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def content(taken: snapshot.Snapshot) -> dict[str, str]:
    """Every file of the commit, read as a runner reads it: by a fetch from the mirror into an empty repository."""
    target = taken.mirror.parent / f"fetched-{taken.sha}"
    if not target.exists():
        target.mkdir()
        run_git(target, "init", "-q")
        run_git(target, "fetch", "-q", "--depth=1", taken.mirror.as_uri(), taken.sha)
        run_git(target, "checkout", "-q", "FETCH_HEAD")
    return {
        str(path.relative_to(target)): path.read_text()
        for path in target.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(target).parts
    }


def test_a_clean_tree_is_its_own_head(tmp_path):
    """Without local changes the source is HEAD itself, so that its runs name a commit that others know."""
    root = repository(tmp_path / "pay")
    taken = snapshot.take(root, tmp_path / "data")
    assert taken.sha == run_git(root, "rev-parse", "HEAD")
    assert not taken.dirty
    assert content(taken) == {"a": "one\n"}


def test_changed_staged_deleted_and_new_files_are_in_and_ignored_ones_are_not(tmp_path):
    """The commit holds what the user sees in the work tree, minus what git is told to ignore, in whatever file it says so."""
    root = repository(tmp_path / "pay", a="one\n", gone="x\n", kept="k\n", **{".gitignore": "*.log\n"})
    write(root, a="two\n", new="n\n", staged="s\n", sub__deep="d\n", private="p\n", **{"trace.log": "l\n"})
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "exclude").write_text("private\n")
    run_git(root, "add", "staged")
    (root / "staged").write_text("s2\n")
    (root / "gone").unlink()
    taken = snapshot.take(root, tmp_path / "data")
    expected = {"a": "two\n", "kept": "k\n", ".gitignore": "*.log\n", "new": "n\n", "staged": "s2\n", "sub/deep": "d\n"}
    assert content(taken) == expected
    assert taken.dirty
    assert taken.changed == ("a", "gone", "new", "staged", "sub/deep")


@pytest.mark.parametrize("state", ["clean", "dirty", "staged", "conflict"])
def test_neither_git_directory_nor_index_nor_work_tree_is_written(tmp_path, state):
    """Mode, time and content of every file of .git and of the work tree are the same after a snapshot."""
    root = repository(tmp_path / "pay", a="one\n", b="b\n")
    if state == "dirty":
        write(root, a="two\n", new="n\n")
    elif state == "staged":
        write(root, a="two\n")
        run_git(root, "add", "a")
    elif state == "conflict":
        run_git(root, "checkout", "-q", "-b", "side")
        write(root, a="side\n")
        run_git(root, "commit", "-qam", "Side")
        run_git(root, "checkout", "-q", "main")
        write(root, a="main\n")
        run_git(root, "commit", "-qam", "Main")
        subprocess.run(["git", "merge", "-q", "side"], cwd=root, env=CLEAN, check=False, capture_output=True)
    os.utime(root / "b", (1_000_000_000, 1_000_000_000))  # a file whose cached state git would like to refresh
    before = fingerprint(root)
    snapshot.take(root, tmp_path / "data")
    assert fingerprint(root) == before


def test_the_same_state_gives_the_same_commit(tmp_path):
    """Two snapshots of one state are one source, so that a repeated run can be recognised as such."""
    root = repository(tmp_path / "pay")
    write(root, a="two\n")
    first = snapshot.take(root, tmp_path / "data")
    second = snapshot.take(root, tmp_path / "data")
    assert first.sha == second.sha
    write(root, a="three\n")
    assert snapshot.take(root, tmp_path / "data").sha != first.sha


def test_a_change_within_the_resolution_of_file_times_is_seen(tmp_path):
    """A file rewritten with the same size right after `git add` is still found, since the copied index keeps its time."""
    root = repository(tmp_path / "pay")
    for text in ("aaa\n", "bbb\n", "ccc\n", "ddd\n"):
        write(root, a=text)
        run_git(root, "add", "a")
        write(root, a=text.upper())
        assert content(snapshot.take(root, tmp_path / "data"))["a"] == text.upper()


def test_line_endings_are_treated_as_git_itself_would(tmp_path):
    """With `text=auto` git keeps CRLF where the stored file has it; a changed file of that kind keeps it here too."""
    root = repository(tmp_path / "pay", crlf="x\n")
    (root / "crlf").write_bytes(b"one\r\n")
    run_git(root, "commit", "-qam", "CRLF")
    write(root, **{".gitattributes": "* text=auto\n"})
    (root / "crlf").write_bytes(b"one\r\ntwo\r\n")
    taken = snapshot.take(root, tmp_path / "data")
    stored = subprocess.run(["git", "cat-file", "blob", f"{taken.sha}:crlf"], cwd=taken.mirror, check=True, capture_output=True)
    assert stored.stdout == b"one\r\ntwo\r\n"


def test_a_repository_without_any_commit_has_a_snapshot(tmp_path):
    """The first run is possible before the first commit; there is nothing to compare with."""
    root = tmp_path / "new"
    root.mkdir()
    run_git(root, "init", "-q")
    write(root, **{".github__workflows__ci.yml": "on: push\n"})
    taken = snapshot.take(root, tmp_path / "data")
    assert [(file.path, file.content) for file in taken.workflows] == [(".github/workflows/ci.yml", b"on: push\n")]
    assert taken.repository.head is None
    assert taken.repository.ref == "refs/heads/main"
    assert taken.changed is None
    assert taken.repository.full_name == "local/new"


def test_an_empty_repository_has_an_empty_snapshot(tmp_path):
    """No file at all is no error of git's."""
    root = tmp_path / "empty"
    root.mkdir()
    run_git(root, "init", "-q")
    assert snapshot.take(root, tmp_path / "data").workflows == ()


def test_a_sub_directory_means_the_whole_repository(tmp_path):
    """`-C` may name any directory of the work tree."""
    root = repository(tmp_path / "pay", a="one\n", src__pkg__m="m\n")
    write(root, a="two\n")
    taken = snapshot.take(root / "src" / "pkg", tmp_path / "data")
    assert taken.repository.root == root
    assert content(taken) == {"a": "two\n", "src/pkg/m": "m\n"}


def test_a_linked_work_tree_has_its_own_head_and_changes(tmp_path):
    """`git worktree add` keeps the index elsewhere; the snapshot is of the linked tree, and both trees stay as they are."""
    root = repository(tmp_path / "pay")
    run_git(root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    write(tmp_path / "linked", a="linked\n")
    before = fingerprint(root, tmp_path / "linked")
    taken = snapshot.take(tmp_path / "linked", tmp_path / "data")
    assert taken.repository.ref == "refs/heads/side"
    assert content(taken) == {"a": "linked\n"}
    assert fingerprint(root, tmp_path / "linked") == before


def test_a_detached_head_takes_the_name_of_what_points_to_it(tmp_path):
    """A branch or tag at HEAD names the ref; else a name that no filter means by accident."""
    root = repository(tmp_path / "pay")
    run_git(root, "tag", "v1")
    run_git(root, "commit", "-q", "--allow-empty", "-m", "Second")
    run_git(root, "checkout", "-q", "v1")
    assert git.locate(root).ref == "refs/tags/v1"
    run_git(root, "checkout", "-q", "main")
    run_git(root, "checkout", "-q", "--detach")
    assert git.locate(root).ref == "refs/heads/main"
    run_git(root, "commit", "-q", "--allow-empty", "-m", "Third")
    assert git.locate(root).ref == f"refs/heads/detached-{run_git(root, 'rev-parse', 'HEAD')[:7]}"


def test_a_submodule_is_recorded_and_left_alone(tmp_path):
    """A submodule is its commit, as git stores it; its own directory is not written either."""
    library = repository(tmp_path / "library", lib="l\n")
    root = repository(tmp_path / "pay")
    run_git(root, "submodule", "--quiet", "add", str(library), "vendored")
    run_git(root, "commit", "-q", "-m", "Vendor")
    write(root, a="two\n", vendored__lib="changed\n")
    before = fingerprint(root)
    taken = snapshot.take(root, tmp_path / "data")
    entry = run_git(taken.mirror, "ls-tree", taken.sha, "vendored").split()
    assert entry[:2] == ["160000", "commit"]
    assert fingerprint(root) == before


def test_what_git_cannot_add_is_named_and_the_rest_is_there(tmp_path):
    """A nested repository without a commit cannot be part of a commit; that stops nothing and is said."""
    root = repository(tmp_path / "pay")
    (root / "nested").mkdir()
    run_git(root / "nested", "init", "-q")
    write(root, a="two\n")
    taken = snapshot.take(root, tmp_path / "data")
    assert content(taken) == {"a": "two\n"}
    assert any("nested" in line for line in taken.left_out)


def test_a_shallow_clone_can_be_fetched_from_its_mirror(tmp_path):
    """The border of a shallow clone is the mirror's too, else a fetch would look for parents that nobody has."""
    origin = repository(tmp_path / "origin")
    write(origin, a="two\n")
    run_git(origin, "commit", "-qam", "Second")
    run_git(tmp_path, "clone", "-q", "--depth=1", origin.as_uri(), "shallow")
    write(tmp_path / "shallow", a="three\n")
    taken = snapshot.take(tmp_path / "shallow", tmp_path / "data")
    target = tmp_path / "full"
    target.mkdir()
    run_git(target, "init", "-q")
    run_git(target, "fetch", "-q", taken.mirror.as_uri(), taken.sha)
    assert run_git(target, "show", f"{taken.sha}:a") == "three"


def test_a_branch_is_compared_with_where_it_left_the_default_branch(tmp_path):
    """Path filters see all that a push of the branch would bring, and local changes with it."""
    root = repository(tmp_path / "pay")
    run_git(root, "checkout", "-q", "-b", "feature")
    for name in ("docs__x", "src__y"):
        write(root, **{name: "1\n"})
        run_git(root, "add", "-A")
        run_git(root, "commit", "-q", "-m", name)
    write(root, local="l\n")
    taken = snapshot.take(root, tmp_path / "data")
    assert taken.changed == ("docs/x", "local", "src/y")
    assert taken.repository.default_branch == "main"


def test_on_the_default_branch_the_last_commit_or_the_local_changes_count(tmp_path):
    """Without a fork point the change is what the newest commit of the snapshot brings."""
    root = repository(tmp_path / "pay")
    write(root, b="b\n")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "-m", "Second")
    assert snapshot.take(root, tmp_path / "data").changed == ("b",)
    write(root, c="c\n")
    assert snapshot.take(root, tmp_path / "data").changed == ("c",)


def test_the_callers_git_variables_mean_nothing(tmp_path, monkeypatch):
    """From inside a git hook the variables name another repository and index; those are neither read nor written."""
    other, root = repository(tmp_path / "other"), repository(tmp_path / "pay")
    write(root, a="two\n")
    before = fingerprint(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    taken = snapshot.take(root, tmp_path / "data")
    assert taken.repository.root == root
    assert content(taken)["a"] == "two\n"
    assert fingerprint(other) == before


def test_hooks_and_monitors_of_the_repository_are_not_started(tmp_path):
    """Taking a snapshot runs nothing that the repository brings."""
    root = repository(tmp_path / "pay")
    alarm = tmp_path / "alarm"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {alarm}\n")
    script.chmod(0o755)
    for hook in ("post-index-change", "pre-commit", "reference-transaction"):
        (root / ".git" / "hooks").mkdir(exist_ok=True)
        (root / ".git" / "hooks" / hook).symlink_to(script)
    run_git(root, "config", "core.fsmonitor", str(script))
    write(root, a="two\n")
    alarm.unlink(missing_ok=True)
    snapshot.take(root, tmp_path / "data")
    assert not alarm.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_root_may_run_a_repository_of_another_user(tmp_path):
    """Containers run as root on mounted repositories; git's check of the owner does not stand in the way."""
    root = repository(tmp_path / "pay")
    write(root, a="two\n")
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)
    assert content(snapshot.take(root, tmp_path / "data"))["a"] == "two\n"


def test_names_that_are_not_text_and_names_with_line_breaks_survive(tmp_path):
    """Paths of git are bytes; a strange one is carried as it is."""
    root = repository(tmp_path / "pay")
    strange = os.fsencode(root) + b"/new\nline-\xff"
    Path(os.fsdecode(strange)).write_text("x\n")
    taken = snapshot.take(root, tmp_path / "data")
    assert taken.changed == (os.fsdecode(b"new\nline-\xff"),)


@pytest.mark.parametrize("inside", [True, False])
def test_a_directory_without_repository_is_refused_by_name(tmp_path, inside):
    """No work tree, no run: the message names the directory."""
    target = tmp_path if inside else tmp_path / "missing"
    with pytest.raises(git.NotARepository, match=str(target)):
        git.locate(target)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:acme/pay.git", "acme/pay"),
        ("https://github.com/acme/pay", "acme/pay"),
        ("https://user:word@host.example/acme/pay.git/", "acme/pay"),
        ("ssh://git@host.example:2222/acme/pay.git", "acme/pay"),
        ("git@host.example:group/sub/pay.git", "group/sub/pay"),
        ("/srv/git/pay.git", "local/here"),
        ("file:///srv/git/acme/pay.git", "local/here"),
        ("../pay", "local/here"),
        ("", "local/here"),
    ],
)
def test_the_full_name_comes_from_the_remote_or_the_directory(url, name):
    """Every style of URL gives owner and name; a path gives none, for it says where, not whose."""
    assert git.full_name(url, "here") == name
