"""Why no runner takes a queued job: none has its labels, none of those is there, or all of them are busy."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from domain.why.history import named
from domain.why.reason import About, Reason
from domain.why.surroundings import Runner

NEAREST_SHOWN = 3


def no_runner(labels: Sequence[str], fair_key: str, fleet: Sequence[Runner], ahead: int = 0, drain_seconds: float | None = None) -> Reason:
    """The reason, from the runners as they are now. fair_key: the job's; ahead: turns before it; drain_seconds: see Surroundings."""
    wanted = set(labels)
    facts: dict[str, Any] = {"labels": list(labels)}
    if not fleet:
        return Reason("no_runner", "no runner is registered", facts=facts, help="ledgermill runner start")
    able = [runner for runner in fleet if wanted <= set(runner.labels)]
    if not able:
        return _unlabelled(labels, fleet, facts)
    serving = [runner for runner in able if runner.repositories is None or fair_key in runner.repositories]
    if not serving:
        groups = sorted({runner.group for runner in able})
        text = f"no group of runners serves this repository: those with its labels are in {named(groups)}"
        return Reason("runner_group", text, about=_all(able), facts={**facts, "groups": groups}, help="ledgermill runner group")
    able = serving
    ready = [runner for runner in able if runner.takes_jobs]
    if not ready:
        return _absent(able, facts)
    facts |= {"matching": len(ready), "ahead": ahead}
    if drain_seconds is not None:
        facts["drain_seconds"] = drain_seconds
    if all(len(runner.held) >= runner.slots for runner in ready):
        text = f"all {len(ready)} matching runners are busy" + (f", {ahead} jobs ahead" if ahead else "")
        text += f", about {drain_seconds:.0f} s" if drain_seconds else ""
        jobs = tuple(About("job", "", job) for runner in ready for job in runner.held)[:20]
        return Reason(
            "runners_busy", text, about=(*map(_about, ready[:20]), *jobs), facts=facts, help="start more runners with these labels"
        )
    if ahead:
        return Reason("others_first", f"{ahead} jobs are served before this one", about=_all(ready), facts=facts)
    return Reason("about_to_be_taken", "a matching runner is free and is about to take it", about=_all(ready), facts=facts)


def _unlabelled(labels: Sequence[str], fleet: Sequence[Runner], facts: dict[str, Any]) -> Reason:
    wanted = set(labels)
    nearest = sorted(fleet, key=lambda runner: (len(wanted - set(runner.labels)), runner.name))[:NEAREST_SHOWN]
    lacking = sorted(wanted - set(nearest[0].labels))
    facts["nearest"] = [{"runner": runner.name, "lacks": sorted(wanted - set(runner.labels))} for runner in nearest]
    text = f"no runner has the labels {', '.join(labels)}; the nearest, {nearest[0].name}, lacks {', '.join(lacking)}"
    help_ = f"start a runner with --labels {','.join(labels)}, or change runs-on"
    return Reason("no_runner_with_labels", text, about=_all(nearest), facts=facts, help=help_)


def _absent(able: Sequence[Runner], facts: dict[str, Any]) -> Reason:
    """None takes jobs. First comes what somebody did and can undo: a pause, then a drain, then absence."""
    groups = {
        "runners_paused": [runner for runner in able if runner.online and runner.duty == "paused"],
        "runners_draining": [runner for runner in able if runner.online and runner.duty == "draining"],
        "runners_offline": [runner for runner in able if not runner.online],
    }
    states = named([f"{runner.name} is {_state(runner)}" for each in groups.values() for runner in each])
    text = f"no runner with these labels takes jobs: {states}"
    reasons = [Reason(code, text, about=_all(each), facts=facts, help=HELP[code]) for code, each in groups.items() if each]
    top, *others = reasons
    runner = groups[top.code][0]
    return replace(top, since=runner.changed_at, because=tuple(others))


HELP = {
    "runners_paused": "POST /api/v1/runners/{id}/resume",
    "runners_draining": "start another runner with these labels",
    "runners_offline": "start the runner again",
}


def _state(runner: Runner) -> str:
    if not runner.online:
        return "offline"
    return runner.duty + (f" by {runner.changed_by}" if runner.changed_by else "")


def _about(runner: Runner) -> About:
    return About("runner", runner.name, runner.id)


def _all(runners: Sequence[Runner]) -> tuple[About, ...]:
    return tuple(map(_about, runners[:20]))
