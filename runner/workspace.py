"""The folders of one job: made fresh, removed to the last file.

    WORK/registration          the id under which this runner is known, kept over restarts
    WORK/lock                  held while an agent uses the folder
    WORK/spool/                what a server that is away has not heard yet; see runner.spool
    WORK/jobs/JOB/             everything of one job:
        REPO/REPO              GITHUB_WORKSPACE, as GitHub lays it out
        _temp                  RUNNER_TEMP, with the scripts, file commands and the event file in it; `_bin` is last in PATH
    WORK/_tool                 RUNNER_TOOL_CACHE, kept

The path depends on the job and not on the attempt, so that what a step sees is the same in every attempt. It must never
follow a link out of the job's folder while removing it.
"""

import os
import shutil
import stat
import sys
from pathlib import Path
from uuid import UUID

import msgspec


class Workspace(msgspec.Struct, frozen=True):
    """Where a job lives. root: all of it. home: what `runner.workspace` names, the parent of the checkout."""

    root: Path
    home: Path
    checkout: Path
    temp: Path
    scripts: Path
    commands: Path
    programs: Path
    tools: Path


def make(work: Path, job: UUID, repository: str) -> Workspace:
    """Make the folders of a job; what an earlier attempt left is removed first. Raises OSError."""
    root = work / "jobs" / job.hex
    if root.exists():
        remove(root)
    name = repository.rpartition("/")[2] or "repository"
    space = Workspace(
        root=root,
        home=root / name,
        checkout=root / name / name,
        temp=root / "_temp",
        scripts=root / "_temp" / "_scripts",
        commands=root / "_temp" / "_runner_file_commands",
        programs=root / "_temp" / "_bin",
        tools=work / "_tool",
    )
    work.mkdir(parents=True, exist_ok=True)
    for folder in (space.checkout, space.scripts, space.commands, space.programs, space.tools):
        folder.mkdir(parents=True, exist_ok=True)
    own = Path(sys.executable).with_name("ledgermill")
    if own.exists():
        (space.programs / "ledgermill").symlink_to(own)
    return space


def remove(root: Path) -> None:
    """Remove a folder with all that is in it, also what a step made read-only. Raises OSError where even that fails."""
    if root.is_symlink():
        root.unlink()
        return

    def open_up(_function: object, path: str, _error: object) -> None:
        parent = Path(path).parent
        for place in (parent, Path(path)):
            if not place.is_symlink() and place.is_dir():
                place.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, onerror=open_up)
        elif os.path.lexists(path):
            os.unlink(path)  # noqa: PTH108 - the path may be a dangling link

    shutil.rmtree(root, onerror=open_up)


def sweep(work: Path) -> list[str]:
    """Remove the folders that jobs of an earlier life left. Returns their names."""
    jobs = work / "jobs"
    left = sorted(path.name for path in jobs.iterdir()) if jobs.is_dir() else []
    for name in left:
        remove(jobs / name)
    return left
