"""The cluster campaign: two machines' worth of servers and two runners elsewhere, any of them killed in turn under load.

    python -m tests.rigs.cluster --jobs 2000 --seed 1

Two gateways, two projectors and two reconcilers, each machine with a data directory of its own, and a relay, on one
Postgres and one NATS. Two runners in network namespaces of their own (tests.rigs.network) have joined over TLS, with a
certificate each, and know both gateways. While runs of two jobs are triggered, each command twice with one key and its
acknowledgement kept in an fsynced journal, one part after the other is killed with SIGKILL at a random moment and started
again a moment later. A step holds a lock that is its job's alone: two executions of a job at the same time would fail it.

At the end: nothing acknowledged is lost, no key led to two runs, no job was acquired twice in one epoch, none is stuck,
every run succeeded, the invariants hold, every view equals its fold; and runners that the gateways should not trust, or
that should not trust the gateways, were refused.
"""

import argparse
import contextlib
import http.client
import itertools
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from runner.server import tls
from tests.authority import Authority
from tests.rigs.api import Api
from tests.rigs.crash import Journal, Load, push, settle
from tests.rigs.network import Network, network
from tests.rigs.parts import SLOTS, Nats, Part, Postgres, Program, Role
from tests.rigs.ports import free_port
from tests.rigs.server import LEDGERMILL

RUNS_PER_SECOND = 8.0
JOBS_OF_A_RUN = 2
LIFE_SECONDS = (0.2, 2.0)
"""How long all parts live between two kills; and how long a killed one is away."""
ROLES = ("gateway", "projector", "reconciler")
SETTINGS = {"LEASE_TTL_SECONDS": "10", "HEARTBEAT_SECONDS": "2"}
WORKFLOW = """
on: push
env: {{LEDGERMILL_RETRY: "max=50 on=lost backoff=1s cap=2s"}}
jobs:
  first:
    runs-on: linux
    outputs: {{v: "${{{{ steps.s.outputs.v }}}}"}}
    steps:
      - run: {alone}
      - {{id: s, run: "echo v=1 >> $GITHUB_OUTPUT"}}
  second:
    needs: first
    runs-on: linux
    steps:
      - run: test "${{{{ needs.first.outputs.v }}}}" = 1
      - run: {alone}
"""


class Pace(msgspec.Struct, frozen=True):
    """runs_per_second: how fast runs are triggered, at least until there are `jobs` of them. life: see LIFE_SECONDS.

    strangers: whether some come by who are to be refused (tests/gateway/test_tls.py has them too).
    """

    jobs: int
    runs_per_second: float = RUNS_PER_SECOND
    life: tuple[float, float] = LIFE_SECONDS
    strangers: bool = True


class Cluster(Api):
    """Both gateways as a client sees them that goes on to the other one where one does not answer."""

    def __init__(self, data: Path, urls: Sequence[str], files: Sequence[Path]) -> None:
        """files: authority, certificate, key."""
        options = zip(("--ca-file", "--cert-file", "--key-file"), map(str, files), strict=True)
        self.urls = itertools.cycle(urls)
        super().__init__(data, next(self.urls), tls(urls[0], *files), tuple(itertools.chain(*options)))

    def call(self, *given: Any, **named: Any) -> Any:
        """As Api.call; the next request goes elsewhere after one that was not answered."""
        try:
            return super().call(*given, **named)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            self.url = next(self.urls)
            raise


class Member(Program):
    """A runner that has joined with a key of its own. before: the words before its command; it must `join` first."""

    def __init__(self, name: str, root: Path, api: Cluster, *, urls: Sequence[str], before: Sequence[str], database_url: str) -> None:
        super().__init__(name, root / f"{name}.log")
        self._work = root / name
        self._api = api
        self._urls = ",".join(urls)
        self._before = before
        self._database_url = database_url

    def join(self) -> None:
        """By a registration token, as docs/how-to/add-a-runner.md tells."""
        token = self._log.with_suffix(".token")
        token.write_text(self._api.call("POST", "/api/v1/runners/registrations", {})["token"])
        verb = [str(LEDGERMILL), "runner", "register", "--url", self._urls, "--token-file", str(token), "--name", self.name]
        subprocess.run([*self._before, *verb, "--work", str(self._work), *self._api.trust], check=True, capture_output=True)

    def command(self, point: str | None, nth: int) -> list[str]:
        """It has no named points of ours."""
        del point, nth
        agent = [sys.executable, "-P", "-m", "runner", "--credential", str(self._work / "credential.json"), "--slots", str(SLOTS)]
        return [*self._before, *agent, "--work", str(self._work)]

    def ready(self) -> bool:
        """It is online; one that was killed and is back before its silence was noted has been all the time."""
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._database_url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1 FROM views.runners WHERE name = %s AND online", (self.name,)).fetchone() is not None
        return False


def campaign(
    pace: Pace, seed: int, root: Path, *, database_url: str | None = None, spared: Sequence[str] = (), loopback: bool = False
) -> dict[str, Any]:
    """Run it; returns the figures. `problems` is empty when nothing was lost, doubled or stuck.

    database_url: an empty database to use; spared: parts that are not killed; loopback: no namespaces, even where they can be made.
    """
    chance = random.Random(seed)
    with contextlib.ExitStack() as stack:
        place = NOWHERE if loopback else stack.enter_context(network())
        journal = Journal(root / "journal")
        stack.callback(journal.close)
        if database_url is None:
            postgres = Postgres(root / "servers")
            postgres.start()
            stack.callback(postgres.kill)
            database_url = postgres.url
        nats = Nats(root)
        stack.callback(nats.kill)
        nats.start()
        cluster, parts = _parts(root, place, database_url, nats.url, stack)
        load = Load(cluster, journal, pace.runs_per_second, partial(push, workflow=_workflow(root)))
        load.start()
        with ThreadPoolExecutor(1) as thread:
            refused = thread.submit(strangers, root, cluster, place) if pace.strangers else None
            killed = [part for part in parts if part.name not in spared]
            deaths = reap(killed, chance, pace.life, lambda: load.sent * JOBS_OF_A_RUN >= pace.jobs)
            load.finish()
            problems = [*settle(cluster, journal), *(refused.result() if refused else ())]
        acquired = _acquisitions(database_url)
    if acquired["twice"]:
        problems.append(f"{acquired['twice']} acquisitions of an epoch that another one had")
    figures = {"seed": seed, "network": place.why or "two namespaces", "acknowledged": len(journal.acknowledged), "deaths": dict(deaths)}
    return figures | acquired | {"problems": problems}


NOWHERE = Network(("127.73.0.1", "127.73.0.2"), ((), ()), why="loopback, as was asked for")


def _parts(root: Path, place: Network, database_url: str, nats_url: str, stack: contextlib.ExitStack) -> tuple[Cluster, list[Part]]:
    """All of them at work, in the order in which they are to be killed; the stack ends them."""
    authority, clients = Authority(root / "ca", "authority"), Authority(root / "clients", "clients")
    (root / "blobs").mkdir()
    port = free_port()
    urls = [f"https://{address}:{port}" for address in place.gateways]
    machines = []
    for name, address, url in zip(("one", "two"), place.gateways, urls, strict=True):
        data = root / name / "data"
        data.mkdir(parents=True, mode=0o700)
        (data / "blobs").symlink_to(root / "blobs")
        certificate, key = authority.certificate(address)
        settings = SETTINGS | {"HOST": address, "PUBLIC_URL": url, "TLS_CERT": certificate, "TLS_KEY": key, "TLS_CLIENT_CA": clients.file}
        given = {f"LEDGERMILL_{field}": str(value) for field, value in settings.items()}
        roles = ROLES if name == "two" else (*ROLES, "relay")
        machines.append([Role(role, root / name, database_url, nats_url, port, settings=given) for role in roles])
        for part in machines[-1]:
            part.name += f" {name}"
            stack.callback(part.kill)
    _at_once(part.start for machine in machines for part in machine)
    cluster = Cluster(root / "one" / "data", urls, (authority.file, *clients.certificate("client")))
    token = cluster.call("POST", "/api/v1/tokens", {"name": "cluster", "role": "admin"})["token"]
    cluster.data = root  # what opens both: each machine has a token of its own as well
    (root / "token").write_text(token)
    runners = [
        Member(f"runner-{number}", root, cluster, urls=ordered, before=before, database_url=database_url)
        for number, (ordered, before) in enumerate(zip((urls, urls[::-1]), place.runners, strict=True), start=1)
    ]
    for runner in runners:
        stack.callback(runner.kill)
    _at_once(runner.join for runner in runners)
    _at_once(runner.start for runner in runners)
    return cluster, [*machines[0], *runners, *machines[1]]


def _at_once(starts: Iterable[Callable[[], None]]) -> None:
    """Call all of them, each in a thread. Raises what one of them raises."""
    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(start) for start in starts]:
            done.result()


def reap(parts: Sequence[Part], chance: random.Random, life: tuple[float, float], enough: Callable[[], bool]) -> Counter[str]:
    """Kill one after the other, each at least once and then until it is enough; how often each died."""
    deaths: Counter[str] = Counter()
    for part in itertools.cycle(parts):
        if deaths.total() >= len(parts) and enough():
            return deaths
        time.sleep(chance.uniform(*life))  # the kill comes at a moment that nothing tells of
        part.kill()
        time.sleep(chance.uniform(*life))  # so long the others are alone
        part.start()
        deaths[part.name] += 1
    raise AssertionError("there is nothing to kill")


def strangers(root: Path, cluster: Cluster, place: Network) -> list[str]:
    """The problems with runners without a certificate, with one of another authority, and that trust another authority only.

    Each is to end by itself and to say what is wrong. Their token is good; nobody gets as far as asking for it.
    """
    other = Authority(root / "other", "other")
    ca_file, cert_file, key_file = (cluster.trust[number] for number in (1, 3, 5))
    foreign_cert, foreign_key = map(str, other.certificate("runner"))
    cases = {
        "without a certificate": ("--ca-file", ca_file),
        "with a certificate of another authority": ("--ca-file", ca_file, "--cert-file", foreign_cert, "--key-file", foreign_key),
        "that trusts another authority": ("--ca-file", str(other.file), "--cert-file", cert_file, "--key-file", key_file),
    }
    problems = []
    for name, options in cases.items():
        agent = [sys.executable, "-P", "-m", "runner", "--url", cluster.url, "--token-file", str(root / "token"), "--name", "stranger"]
        command = [*place.runners[0], *agent, "--work", str(root / "stranger"), *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                said = process.communicate(timeout=60)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                said = "it does not give up"
        if process.returncode != 4 or "RNR004" not in said:
            problems.append(f"a runner {name} was not refused: {process.returncode} {said[-500:]}")
    return problems


def _workflow(root: Path) -> str:
    locks = root / "locks"
    locks.mkdir()
    return WORKFLOW.format(alone=f'exec 9> "{locks}/$GITHUB_RUN_ID-$GITHUB_JOB"; flock -n 9; sleep 0.2')


def _acquisitions(database_url: str) -> dict[str, int]:
    """acquisitions: of all jobs; twice: those of an epoch that there was already; attempts_lost: by the kills."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE acquired), count(*) FILTER (WHERE acquired) - count(DISTINCT epoch) FILTER (WHERE acquired),"
            " count(*) FILTER (WHERE NOT acquired) FROM (SELECT type = 'JobAcquired' AS acquired, (stream, data ->> 'epoch') AS epoch"
            " FROM events_json WHERE type IN ('JobAcquired', 'AttemptLost')) AS e"
        ).fetchone()
    assert row is not None
    return dict(zip(("acquisitions", "twice", "attempts_lost"), row, strict=True))


def main() -> None:
    """The campaign from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--loopback", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lm") as directory:
        Path(directory).chmod(0o711)  # the embedded Postgres runs as another user when this is root
        began = time.monotonic()
        figures = campaign(Pace(given.jobs), given.seed, Path(directory), loopback=given.loopback)
    for name, value in (figures | {"seconds": round(time.monotonic() - began)}).items():
        print(f"{name:>18}  {value}")  # noqa: T201 - the table is the point
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
