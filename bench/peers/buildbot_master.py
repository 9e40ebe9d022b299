# Buildbot's master.cfg: a builder with five shell steps and one that prints many lines, triggered over Buildbot's own REST
# API (a force scheduler). The first and the last step write their own time, as the steps on our side do.
import os

from buildbot.plugins import schedulers, steps, util, worker


def note(name, then="true"):
    marks = f"{os.environ['MARKS']}.{name}"
    return steps.ShellCommand(command=["bash", "-c", util.Interpolate(f"echo $EPOCHREALTIME %(prop:reason)s >> {marks}; {then}")])


factory = util.BuildFactory([note("first"), *(steps.ShellCommand(command=["bash", "-c", "true"]) for _ in range(3)), note("last")])
log = util.BuildFactory([note("first", os.environ["PRINT"]), note("last")])
builders = {"job": factory, "log": log}
BuildmasterConfig = {
    "workers": [worker.Worker("w", "p", max_builds=4)],
    "protocols": {"pb": {"port": f"tcp:{os.environ['PB_PORT']}:interface=127.0.0.1"}},
    "builders": [util.BuilderConfig(name=name, workernames=["w"], factory=each, collapseRequests=False) for name, each in builders.items()],
    "schedulers": [schedulers.ForceScheduler(name="force", builderNames=list(builders))],
    "www": {"port": f"tcp:{os.environ['WWW_PORT']}:interface=127.0.0.1", "plugins": {}},
    "db": {"db_url": os.environ["DB_URL"]},
    "title": "peer",
    "buildbotURL": f"http://127.0.0.1:{os.environ['WWW_PORT']}/",
    "buildbotNetUsageData": None,
    "configurators": [],
}
