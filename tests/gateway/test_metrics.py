"""`/metrics` over a real socket: what the figures say in a driven scenario, who may see them, and what stands in them."""

import asyncio
import runpy
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import exposition
from gateway.metrics.registry import REGISTRY
from tests.gateway.conftest import WORKFLOW, Gateway, HandRunner, serving

GENERATOR = Path(__file__).parents[2] / "docs" / "generators" / "metrics.py"
LEASE_SECONDS = 3.0
"""Long enough for a job that nobody renews, on any machine."""
CACHE_SECONDS = 0.1
PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page lives shorter here, so that no test waits for the next one."""
    monkeypatch.setattr("gateway.metrics.scrape.CACHE_SECONDS", CACHE_SECONDS)


class Page:
    """The figures of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in self.families for s in family.samples}

    def __call__(self, name: str, **labels: str) -> float:
        """One figure; 0 where it is not there."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)


async def scrape(gateway: Gateway, role: str = "admin") -> Page:
    """Ask for the page."""
    async with gateway.session.get(f"{gateway.url}/metrics", headers=gateway.headers(role)) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == exposition.CONTENT_TYPE
        return Page(await response.text())


async def until(gateway: Gateway, holds: Callable[[Page], bool]) -> Page:
    """The first page of which this holds: views follow the log, and a page lives for a while."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        page = await scrape(gateway)
        if holds(page):
            return page
        assert time.monotonic() < ends, page.text
        await asyncio.sleep(CACHE_SECONDS)  # polls: another page is there only then


async def a_job(gateway: Gateway, runner: HandRunner) -> None:
    """One job, done by this runner, with a line of log."""
    job = await runner.acquire()
    assert (await runner.start(job)).status == 200
    assert (await runner.lines(job, 1, 3)).status == 200
    assert (await runner.step(job)).status == 200
    assert (await runner.complete(job, last_line=3)).status == 200


async def test_the_figures_move_as_what_happens_says(postgres_url: str, tmp_path: Path) -> None:
    """Queue depth, wait and drain time; a lease that ends; a projector that stands still."""
    async with serving(postgres_url, tmp_path / "data", lease_ttl_seconds=LEASE_SECONDS) as gateway:
        empty = await scrape(gateway)
        assert empty("ledgermill_job_queue_seconds_count", pool="linux") == 0
        assert ("ledgermill_lease_expirations_total", ()) in empty.samples

        for _ in range(3):
            await gateway.run()
        three = await until(gateway, lambda page: page("ledgermill_queue_depth") == 3)
        assert three("ledgermill_jobs", state="queued", pool="linux") == 3
        assert three("ledgermill_jobs_queued_total", pool="linux") == 3
        waited = three("ledgermill_queue_oldest_seconds", pool="linux")
        older = await until(gateway, lambda page: page("ledgermill_queue_oldest_seconds", pool="linux") > waited)
        assert ("ledgermill_estimated_drain_time_seconds", (("pool", "linux"),)) not in older.samples

        runner = await gateway.runner(slots=1)
        await a_job(gateway, runner)
        one_done = await until(
            gateway,
            lambda page: (
                page("ledgermill_queue_depth") == 2 and page("ledgermill_jobs_completed_total", conclusion="success", retried="no") == 1
            ),
        )
        assert one_done("ledgermill_job_queue_seconds_count", pool="linux") == 1
        assert one_done("ledgermill_job_queue_seconds_sum", pool="linux") >= waited
        assert one_done("ledgermill_first_step_seconds_count") == 1
        assert one_done("ledgermill_log_latency_seconds_count") == 1
        took = one_done("ledgermill_job_run_seconds_sum", pool="linux", result="success")
        assert one_done("ledgermill_estimated_drain_time_seconds", pool="linux") == pytest.approx(2 * took)

        await runner.start(await runner.acquire())
        held = await until(gateway, lambda page: page("ledgermill_jobs", state="running", pool="linux") == 1)
        assert held("ledgermill_runners", state="busy") + held("ledgermill_runners", state="offline") == 1
        lost = await until(gateway, lambda page: page("ledgermill_lease_expirations_total") == 1)
        assert lost("ledgermill_attempts_lost_total", reason="lease_expired") == 1
        await until(gateway, lambda page: page("ledgermill_jobs_retried_total") == 1 and page("ledgermill_queue_depth") == 2)

        with psycopg.connect(postgres_url) as still:
            still.execute("LOCK TABLE views.view_positions IN EXCLUSIVE MODE")
            await gateway.run()
            behind = await until(gateway, lambda page: page("ledgermill_projection_lag_seconds", projection="queue") > 0.5)
            assert behind("ledgermill_projection_lag_events", projection="queue") > 0
        caught_up = await until(gateway, lambda page: page("ledgermill_projection_lag_events", projection="queue") == 0)
        assert caught_up("ledgermill_projection_lag_seconds", projection="queue") == 0
        assert caught_up("ledgermill_queue_depth") == 3
        assert caught_up("ledgermill_commit_seconds_count") > 0
        assert caught_up("ledgermill_events_appended_total") >= sum(
            value for (name, _), value in caught_up.samples.items() if name == "ledgermill_events_total"
        )


async def test_registry_page_and_output_name_the_same_metrics(gateway: Gateway) -> None:
    """Kinds and labels too, and no value of a label is a word that somebody chose."""
    await gateway.trigger(
        workflow=WORKFLOW.replace("linux", "[linux, zebra-label]").replace("build", "zebra-job").replace("ci", "zebra-ci")
    )
    await gateway.trigger(repository={"full_name": "zebra/zebra", "provider": "local", "clone_url": "/srv/zebra.git"})
    runner = await gateway.runner("zebra-runner", ("linux", "zebra-label"))
    await a_job(gateway, runner)
    for method, path in (("GET", "/api/v1/runs/latest"), ("GET", "/zebra"), ("PROPFIND", "/api/v1/runs"), ("POST", "/api/v1/zebra")):
        await gateway.once(method, path)
    page = await until(gateway, lambda page: page("ledgermill_jobs_completed_total", conclusion="success", retried="no") == 1)
    assert {each.name.removesuffix("_total"): (each.kind, each.about) for each in REGISTRY} == {
        family.name: (family.type, family.documentation) for family in page.families
    }
    documented = runpy.run_path(str(GENERATOR))
    assert documented["TARGET"].read_text() == documented["render"](), "run make docs"
    known = {each.name.removesuffix("_total"): each for each in REGISTRY}
    for family in page.families:
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert set(labels) == set(known[family.name].labels)
            for name, values in zip(known[family.name].labels, known[family.name].values, strict=False):
                assert labels[name] in values, sample
    assert "zebra" not in page.text
    routes = {dict(labels)["route"] for name, labels in page.samples if name == "ledgermill_http_requests_total"}
    document = (await gateway.request("GET", "/openapi.json", role=None)).json
    assert routes <= {*document["paths"], "/openapi.json", "other"}
    assert {"/api/v1/runs", "/api/v1/runs/{id}", "/runner/v1/jobs/{id}/start", "other"} <= routes


async def test_only_the_tenant_that_runs_the_server_sees_the_figures(gateway: Gateway) -> None:
    """A viewer of the first one does; an admin of another, a runner and whoever has no token do not."""
    for role, tenant in (("viewer", "default"), ("admin", "acme")):
        made = await gateway.request("POST", "/api/v1/tokens", {"name": f"{role} of {tenant}", "role": role, "tenant": tenant})
        gateway.tokens[tenant] = made.json["token"]
    assert (await scrape(gateway, "default")).families
    refused = [(await gateway.request("GET", "/metrics", role=role)).status for role in ("acme", "runner", None)]
    assert refused == [403, 403, 401]


@pytest.mark.parametrize(("table", "runners_told"), [("queue", True), ("runners", False)])
async def test_what_cannot_be_asked_is_absent_and_the_rest_is_told(
    gateway: Gateway, postgres_url: str, table: str, *, runners_told: bool
) -> None:
    """The scrape says so, and the next one has it again. A queue that takes too long hides nothing but itself."""
    await gateway.run()
    await until(gateway, lambda page: page("ledgermill_queue_depth") == 1)
    with psycopg.connect(postgres_url) as still:
        still.execute(f"LOCK TABLE views.{table} IN ACCESS EXCLUSIVE MODE".encode())
        without = await until(gateway, lambda page: page("ledgermill_scrapes_failed_total") > 0)
        assert ("ledgermill_queue_depth", ()) not in without.samples
        assert (("ledgermill_runners", (("state", "idle"),)) in without.samples) == runners_told
        assert without("ledgermill_commit_seconds_count") > 0
    await until(gateway, lambda page: ("ledgermill_queue_depth", ()) in page.samples)


async def test_promtool_takes_the_page(gateway: Gateway) -> None:
    """Its check of names, units and texts."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    await gateway.run()
    await a_job(gateway, await gateway.runner())
    page = await until(gateway, lambda page: page("ledgermill_jobs_completed_total", conclusion="success", retried="no") == 1)
    process = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate(page.text.encode())
    assert (process.returncode, said.decode()) == (0, "")
