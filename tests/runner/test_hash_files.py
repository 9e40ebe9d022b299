"""The digest of matching files: the same bytes in the same order as GitHub's runner, and never from outside the workspace."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from domain.workflow.expressions import ExpressionError, evaluate
from runner.glob_patterns import GlobError
from runner.hash_files import function, hash_files

DATA = Path(os.environ.get("LEDGERMILL_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"


def tree(root, *names):
    """A tree of files; each one's content is its own name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def digest_of(*contents):
    """What the digest has to be when files with these contents match, in this order."""
    joined = b"".join(hashlib.sha256(content.encode()).digest() for content in contents)
    return hashlib.sha256(joined).hexdigest() if contents else ""


def test_the_shared_cases_have_github_digests(tmp_path):
    """Every recorded call gives the value that GitHub's package gave."""
    source = DATA / "hashfiles.json"
    if not source.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{source} is not there: set LEDGERMILL_SHARED")
        pytest.skip(f"{source} is not there: set LEDGERMILL_SHARED")
    data = json.loads(source.read_text(encoding="utf-8"))
    for name, content in data["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for case in data["cases"]:
        assert evaluate(case["expr"], {}, {"hashFiles": function(tmp_path)}) == case["github_value"], case["name"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["nothing"], []),
        (["*.txt"], ["b.txt"]),
        (["**/*.txt"], ["B/z.txt", "a/.c/d.txt", "b.txt"]),
        (["."], [".hidden", "B/z.txt", "a/.c/d.txt", "a/x", "b/y", "b.txt"]),
        (["a"], ["a/.c/d.txt", "a/x"]),
        (["a/"], ["a/.c/d.txt", "a/x"]),
        (["a/**"], ["a/.c/d.txt", "a/x"]),
        (["b.txt/"], []),
        (["b.txt/**"], ["b.txt"]),
        (["b.txt", "a/x"], ["b.txt", "a/x"]),
        (["a/x", "b.txt"], ["a/x", "b.txt"]),
        (["b.txt", "**"], [".hidden", "B/z.txt", "a/.c/d.txt", "a/x", "b/y", "b.txt"]),
        (["**/*.txt", "!a/**"], ["B/z.txt", "b.txt"]),
        (["**/*.txt", "!a/**", "a/.c/d.txt"], ["B/z.txt", "a/.c/d.txt", "b.txt"]),
        (["!a", "a/x"], ["a/x"]),
        (["!!b.txt"], ["b.txt"]),
        (["# a comment\n\n  b.txt  \r\n"], ["b.txt"]),
        (["[ab]/?"], ["a/x", "b/y"]),
        (["[!a]/?"], ["b/y"]),
        (["[[:upper:]]/*"], ["B/z.txt"]),
        (["\\b.txt", ".h[i]dden"], ["b.txt", ".hidden"]),
        (["a//x"], ["a/x"]),
    ],
)
def test_patterns_choose_files_in_the_order_of_the_walk(tmp_path, patterns, names):
    """Each rule of the pattern language; names are sorted by bytes and search paths come in the order of the patterns."""
    tree(tmp_path, "b.txt", "a/x", "a/.c/d.txt", "b/y", "B/z.txt", ".hidden")
    assert hash_files(tmp_path, patterns) == digest_of(*names)


def test_absolute_patterns_inside_the_workspace_count_and_others_do_not(tmp_path):
    """A pattern that begins with the workspace's path works; a wider one sees only the workspace."""
    workspace = tmp_path / "work"
    tree(workspace, "a")
    tree(tmp_path, "outside")
    assert hash_files(workspace, [f"{workspace}/a"]) == digest_of("a")
    assert hash_files(workspace, [f"{tmp_path}/**"]) == digest_of("a")
    assert hash_files(workspace, [f"{tmp_path}/outside", "~/a", "!~"]) == ""
    assert hash_files(workspace / ".." / "work", ["a"]) == digest_of("a")


def test_a_workspace_with_special_characters_is_just_a_path(tmp_path):
    """Brackets and stars in the workspace's own path are no patterns."""
    workspace = tmp_path / "w[1]*"
    tree(workspace, "a")
    tree(tmp_path / "w1", "a")
    assert hash_files(workspace, ["*"]) == digest_of("a")


def test_links_to_files_are_read_and_links_to_folders_only_on_request(tmp_path):
    """As on GitHub; following a link that leads back to a folder it lies in ends there."""
    tree(tmp_path, "real/x")
    (tmp_path / "file").symlink_to("real/x")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "loop").symlink_to("..")
    (tmp_path / "gone").symlink_to("nowhere")
    assert hash_files(tmp_path, ["file"]) == digest_of("real/x")
    assert hash_files(tmp_path, ["**"]) == digest_of("real/x", "real/x")
    assert hash_files(tmp_path, ["**"], follow_symlinks=True) == digest_of("real/x", "real/x", "real/x")


@pytest.mark.parametrize("follow", [False, True])
def test_nothing_outside_the_workspace_is_read(tmp_path, follow):
    """Links that lead out of the workspace count as not there, also as the folder in front of a pattern."""
    workspace = tmp_path / "work"
    tree(workspace, "a")
    tree(tmp_path, "outside/secret")
    (workspace / "file").symlink_to(tmp_path / "outside" / "secret")
    (workspace / "folder").symlink_to(tmp_path / "outside")
    assert hash_files(workspace, ["**"], follow) == digest_of("a")
    assert hash_files(workspace, ["folder/*", "folder/secret", "file"], follow) == ""


def test_what_is_no_file_is_passed_over(tmp_path):
    """A named pipe would block the reader for ever: it is not opened."""
    tree(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    assert hash_files(tmp_path, ["*"]) == digest_of("a")


@pytest.mark.parametrize("pattern", ["../x", "a/../b", "a/./b", "**/..", "!"])
def test_patterns_that_leave_the_workspace_are_refused(tmp_path, pattern):
    """The error names the pattern."""
    with pytest.raises(GlobError, match="Invalid pattern"):
        hash_files(tmp_path, [pattern])


def test_the_function_takes_values_and_an_option(tmp_path):
    """As expressions call it: values are printed, the option follows links, errors are errors of the expression."""
    tree(tmp_path, "1", "real/x")
    (tmp_path / "folder").symlink_to("real")
    call = function(tmp_path)
    assert call(1.0) == digest_of("1")
    assert call("folder/x") == digest_of("real/x")
    assert call("folder/*") == ""
    assert call("--Follow-Symbolic-Links", "folder/*") == digest_of("real/x")
    with pytest.raises(ExpressionError, match="invalid option '--follow'"):
        call("--follow", "a")
    with pytest.raises(ExpressionError, match="Relative pathing"):
        evaluate("hashFiles('../a')", {}, {"hashFiles": call})


def test_no_name_makes_a_pattern_slow(tmp_path):
    """A pattern with many stars is decided in one pass over the name."""
    tree(tmp_path, "a" * 200)
    assert hash_files(tmp_path, ["*a" * 40 + "b"]) == ""
