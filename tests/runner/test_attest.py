"""What steps attest: GITHUB_ARTIFACTS and `ledgermill attest`, with digests that the runner takes."""

import os
from pathlib import Path
from typing import Any

import pytest
from runner_test_gateway import job, step

from runner import attest
from runner.attest import AttestError, Named, read_lines
from runner.effects import sha256

SPACE = Path("/workspace/pay/pay")


async def test_a_step_attests_files_by_name_and_the_runner_takes_their_digests(bench: Any) -> None:
    """By the file and by the verb, from a folder too; what is attested is in the log and in later steps' list."""
    message = job(
        'mkdir dist; printf one > dist/a.txt; printf two > b.txt; echo dist/a.txt >> "$GITHUB_ARTIFACTS"\n'
        "cd dist; ledgermill attest ../b.txt",
        'cat "$GITHUB_ARTIFACTS_LIST"',
        f'echo "oci://registry.example/pay@sha256:{"a" * 64}" >> "$GITHUB_ARTIFACTS"; printf changed > b.txt',
    )
    report = await bench.run(message)
    assert report.conclusion == "success", bench.gateway.text(message.job)
    ends = bench.gateway.ends(message.job)
    assert [(each.name, each.sha256) for each in ends[0].subjects] == [("dist/a.txt", sha256("one")), ("b.txt", sha256("two"))]
    assert [(each.name, each.sha256) for each in ends[2].subjects] == [("registry.example/pay", "a" * 64)]
    assert bench.gateway.text(message.job, "stdout").split("\n") == ["dist/a.txt", "b.txt"]
    assert f"Attested b.txt sha256:{sha256('two')}" in bench.gateway.text(message.job, "system")


async def test_what_cannot_be_attested_fails_the_step_and_says_which(bench: Any) -> None:
    """A missing file, a pipe that nobody writes to, a folder, an image without digest; none of the step's files counts then."""
    message = job(
        *(
            step(number, f'printf x > fine.txt; {make}; printf "fine.txt\\n{name}\\n" >> "$GITHUB_ARTIFACTS"', condition="always()")
            for number, (make, name) in enumerate((("true", "gone"), ("mkfifo pipe", "pipe"), ("mkdir d", "d"), ("true", "oci://x@latest")))
        )
    )
    report = await bench.run(message)
    assert report.conclusion == "failure"
    ends = bench.gateway.ends(message.job)
    assert [(each.conclusion, each.subjects) for each in ends.values()] == [("failure", ())] * 4
    said = bench.gateway.text(message.job, "system")
    for words in ("gone cannot be read: No such file", "pipe is no file", "d is no file", "line 2: 'oci://x@latest' is not oci://"):
        assert words in said


async def test_a_secret_in_a_files_name_is_masked(bench: Any) -> None:
    """Names go into the log for ever."""
    message = job(
        step(0, 'printf x > "a-$TOKEN"; echo "a-$TOKEN" >> "$GITHUB_ARTIFACTS"', env={"TOKEN": "${{ secrets.TOKEN }}"}),
        secrets={"TOKEN": "hunter2hunter2"},
    )
    await bench.run(message)
    assert [each.name for each in bench.gateway.ends(message.job)[0].subjects] == ["a-***"]


def test_lines_name_files_of_the_workspace_or_elsewhere() -> None:
    """A name is the path within the workspace; what lies outside goes by its last part."""
    text = "dist/../a.txt\n\nfile:///workspace/pay/pay/b%20c\n  /elsewhere/out.bin  \n"
    assert read_lines(text, SPACE) == [
        Named("a.txt", SPACE / "a.txt"),
        Named("b c", SPACE / "b c"),
        Named("out.bin", Path("/elsewhere/out.bin")),
    ]
    with pytest.raises(AttestError, match=r"line 1: .*another machine"):
        read_lines("file://elsewhere/x", SPACE)


async def test_more_files_than_are_kept_are_refused_before_any_is_read(tmp_path: Path) -> None:
    """500 of a job, GitHub's limit."""
    named = [Named(f"{number}", tmp_path / "absent") for number in range(500)]
    with pytest.raises(AttestError, match="attests 501 files, and at most 500"):
        await attest.subjects(named, 1)


async def test_a_large_file_is_read_to_its_end(tmp_path: Path) -> None:
    """In pieces."""
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    os.truncate(tmp_path / "large", 5_000_000)
    (found,) = await attest.subjects([Named("large", tmp_path / "large")], 0)
    assert found.sha256 == sha256("x" * 3_000_000 + "\0" * 2_000_000)
