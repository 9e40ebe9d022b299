"""Between tenants there is nothing to see: generated from the OpenAPI document, so that a new route is asked too."""

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import msgspec
import pytest

from infra.connections import connect
from projections.catalogue import VIEWS
from runner import wire
from tests.gateway.conftest import Answer, Gateway, HandRunner
from tests.gateway.test_webhooks import SECRET, deliver

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/v1/workflows/{id}"): {"enabled": False},
    ("PATCH", "/api/v1/repositories/{id}"): {"retry": "max=2 on=lost"},
    ("PATCH", "/api/v1/subscriptions/{id}"): {"enabled": False},
}
"""Bodies of routes that need one and name something by an id; of other routes {} will do."""

WHSEC = "whsec_" + "AAAA" * 8
SHARED = ("/healthz", "/readyz")
ATTESTED = "a" * 64
"""The digest of a file that aleph's job attests. It names the content, so another tenant is told that nobody attests it."""
CONTENT = "/api/v1/artifacts/{digest}/attestations"
SIGNED = (CONTENT, "/api/v1/runs/{id}/provenance", "/api/v1/runs/{id}/bundle")
"""Routes that ask the signer, which does not run here, about what is there."""
METHODS = ("get", "post", "put", "patch", "delete")


class Tenant:
    """A tenant's admin and runner, and whatever its history holds."""

    def __init__(self, gateway: Gateway, name: str, runner: HandRunner, job: wire.JobMessage) -> None:
        self.gateway = gateway
        self.name = name
        self.runner = runner
        self.job = job
        self.ids: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """As the tenant's admin, or as its runner where it is the runners' protocol."""
        role = "runner" if path.startswith("/runner/") else "admin"
        return await self.gateway.request(method, path, body, f"{self.name}{role}")


class TenantRunner(HandRunner):
    """A runner with its tenant's token."""

    tenant: str

    async def post(self, path: str, message: wire.Wire) -> Answer:
        """Send one message."""
        return await self.gateway.request("POST", f"/runner/v1/{path}", message, f"{self.tenant}runner")


async def settle(gateway: Gateway, name: str) -> Tenant:
    """A tenant with a token, a run whose job is done and has a log, and a runner."""
    for role in ("admin", "runner"):
        made = await gateway.request("POST", "/api/v1/tokens", {"name": f"first {role}", "role": role, "tenant": name})
        gateway.tokens[name + role] = made.json["token"]
    message = wire.Register(registration="r1", name=f"runner of {name}", labels=("linux",), slots=8)
    registered = await gateway.request("POST", "/runner/v1/register", message, f"{name}runner")
    runner = TenantRunner(gateway, UUID(registered.json["runner"]))
    runner.tenant = name
    gateway.tokens["admin"], operator = gateway.tokens[name + "admin"], gateway.tokens["admin"]
    run = await gateway.run()
    gateway.tokens["admin"] = operator
    job = await runner.acquire()
    assert (await runner.start(job)).status == 200
    assert (await runner.lines(job, 1, 3, f"said by {name}")).status == 200
    assert (await runner.step(job, subjects=(wire.Subject("app", ATTESTED),) if name == "aleph" else ())).status == 200
    assert (await runner.complete(job, last_line=3)).status == 200
    tenant = Tenant(gateway, name, runner, job)
    forge = {"full_name": f"{name}/pay", "provider": "github", "clone_url": "https://forge.invalid/pay.git", "webhook_secret": SECRET}
    assert (await tenant.ask("POST", "/api/v1/repositories", forge)).status == 201
    star = {"action": "created", "repository": {"full_name": f"{name}/pay"}}
    assert (await deliver(gateway, "star", star, tenant=name)).status == 202
    subscription = {"url": f"https://{name}.invalid/", "types": ["RunCompleted"], "secret": WHSEC}
    assert (await tenant.ask("POST", "/api/v1/subscriptions", subscription)).status == 201
    head = (await gateway.request("GET", "/api/v1/events", role=name + "admin")).json["head"]
    for kind in ("repositories", "workflows", "runners", "tokens", "deliveries", "subscriptions"):
        listed = await tenant.ask("GET", f"/api/v1/{kind}?at_least={head}")
        tenant.ids[kind] = listed.json["items"][0]["id"]
    tenant.ids |= {"runs": str(run), "jobs": str(job.job)}
    return tenant


async def ids_of(postgres_url: str, name: str) -> set[str]:
    """Every id in every row, of every table of every view, that tells of this tenant's runs, runners and so on."""
    found: set[str] = set()
    connection = await connect(postgres_url, "test")
    try:
        runs = await (await connection.execute("SELECT id::text FROM views.runs WHERE tenant = %s", (name,))).fetchall()
        whose = [name, *(row[0] for row in runs)]
        for table in (table for view in VIEWS.values() for table in view.tables):
            rows = await (await connection.execute(f"SELECT to_jsonb(t)::text FROM views.{table.name} t".encode())).fetchall()
            mine = [row[0] for row in rows if any(f'"{each}"' in row[0] for each in whose)]
            found |= {each for row in mine for each in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", row)}
    finally:
        await connection.close()
    return found


def asked(document: dict[str, Any], theirs: dict[str, str]) -> list[tuple[str, str, str, Any]]:
    """(method, route, path with the ids of `theirs`, body) of every operation of the document."""
    found = []
    for route, operations in document["paths"].items():
        kind = route.split("/")[3] if route.startswith("/api/v1/") else "jobs"
        route_with_digest = route.replace("{digest}", ATTESTED)
        path = re.sub(r"\{[^}]*\}", "1", re.sub(r"\{[^}]*\}", theirs.get(kind, "1"), route_with_digest, count=1))
        for method in METHODS:
            if method in operations:
                body = BODIES.get((method.upper(), route), {} if method != "get" else None)
                found.append((method.upper(), route, path, body))
    return found


def runner_body(document: dict[str, Any], route: str, tenant: Tenant, job: wire.JobMessage) -> Any:
    """A well-formed message of the runner protocol about another tenant's job, by this one's runner."""
    fence = {"runner": str(tenant.runner.id), "attempt": job.attempt, "epoch": job.epoch, "lease": str(job.lease)}
    known = {
        "/runner/v1/jobs/{id}/start": {},
        "/runner/v1/jobs/{id}/renew": {},
        "/runner/v1/jobs/{id}/events": {"seq": 1, "transitions": []},
        "/runner/v1/jobs/{id}/logs": {"lines": []},
        "/runner/v1/jobs/{id}/complete": {"conclusion": "success", "last_line": 0, "result": "x"},
    }
    assert route in document["paths"]
    return fence | known[route] if route in known else None


@pytest.mark.timeout(300)
async def test_no_route_shows_a_tenant_what_is_anothers(gateway: Gateway, postgres_url: str) -> None:
    """Every operation of the document, with the other tenant's ids: 404, or an answer that holds none of its ids."""
    a, b = [await settle(gateway, name) for name in ("aleph", "beta")]
    document = (await gateway.request("GET", "/openapi.json", role=None)).json
    hidden = await ids_of(postgres_url, "aleph")
    assert set(a.ids.values()) <= hidden
    assert not hidden & await ids_of(postgres_url, "beta")
    before = (await a.ask("GET", "/api/v1/events")).json["items"]
    named = 0
    for method, route, path, body in asked(document, a.ids):
        endless = "stream" in route.rpartition("/")[2] and "{" not in route
        sent = runner_body(document, route, b, a.job) if route.startswith("/runner/") else body
        if route in SHARED or endless or (route.startswith("/runner/") and sent is None):
            continue
        answer = await text_of(b, method, path, sent)
        shown = answer[1].replace(re.sub(r".*/([0-9a-f-]{36}).*|.*", r"\1", path) or "\0", "")
        assert not [each for each in hidden if each in shown], (method, route)
        assert "aleph" not in shown, (method, route, shown)
        if "{" in route and "x-least-role" in document["paths"][route][method.lower()]:
            operators = document["paths"][route][method.lower()]["x-least-role"] == "operator"
            if route == CONTENT:
                assert (answer[0], json.loads(answer[1])["items"]) == (200, []), answer
            else:
                assert answer[0] == (403 if operators else 404), (method, route, answer)
            named += 1
    assert named > 20
    assert (await a.ask("GET", "/api/v1/events")).json["items"] == before
    own = [(route, path) for method, route, path, _ in asked(document, a.ids) if method == "GET" and "{" in route and "stream" not in route]
    for route, path in own:
        status, said = await text_of(a, "GET", path, None)
        assert status == 200 or (route in SIGNED and json.loads(said)["code"] == "signer_absent"), (route, said)


async def text_of(tenant: Tenant, method: str, path: str, body: Any) -> tuple[int, str]:
    """Status and body."""
    role = "runner" if path.startswith("/runner/") else "admin"
    data = None if body is None else msgspec.json.encode(body)
    gateway = tenant.gateway
    async with gateway.session.request(method, gateway.url + path, data=data, headers=gateway.headers(tenant.name + role)) as response:
        return response.status, await response.text()


async def test_the_runners_of_a_tenant_take_its_jobs_only(gateway: Gateway) -> None:
    """A job waits although another tenant's runner has its labels; that one cannot speak for the tenant's runner either."""
    a, b = [await settle(gateway, name) for name in ("aleph", "beta")]
    gateway.tokens["admin"] = gateway.tokens["betaadmin"]
    await gateway.run()
    assert (await a.runner.poll(wait_seconds=0.2)).leases == ()
    foreign = await gateway.request("POST", "/runner/v1/acquire", wire.Acquire(runner=b.runner.id, free_slots=1), "alephrunner")
    assert (foreign.status, foreign.json["code"]) == (404, "runner_not_found")
    assert len((await b.runner.poll()).leases) == 1


async def test_a_stream_of_all_events_is_of_one_tenant(gateway: Gateway) -> None:
    """What happens elsewhere, stored or live, is not sent."""
    a, b = [await settle(gateway, name) for name in ("aleph", "beta")]
    gateway.tokens["admin"] = gateway.tokens["betaadmin"]
    seen: set[str] = set()
    async with asyncio.timeout(60), gateway.stream("/api/v1/events/stream") as events:
        await a.ask("POST", f"/api/v1/runs/{a.ids['runs']}/rerun", {})
        again = await b.ask("POST", f"/api/v1/runs/{b.ids['runs']}/rerun", {})
        async for position, _, event in events:
            seen.add(event["tenant"])
            if int(position) >= again.json["position"]:
                break
    assert seen == {"beta"}
    assert json.dumps(a.ids["runs"]) not in str(seen)
