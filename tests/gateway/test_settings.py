"""Settings of a repository: they hold for the runs that begin afterwards."""

from typing import Any
from uuid import UUID

from tests.gateway.conftest import WORKFLOW, Gateway

ENV = 'env: {LEDGERMILL_RETRY: "max=2"}\n    runs-on: linux'


async def policy(gateway: Gateway, workflow: str = WORKFLOW) -> Any:
    """The retry policy of the job of a new run."""
    run = await gateway.run(workflow)
    return next(event.data.retry for event in await gateway.history(run) if event.type == "JobCreated")


async def test_the_retry_policy_of_a_repository_holds_for_new_runs(gateway: Gateway) -> None:
    """A job's own policy goes before it, part by part; "" brings the default back; the repository shows it."""
    default = await policy(gateway)
    listed = await gateway.request("GET", f"/api/v1/repositories?at_least={await gateway.store.head()}")
    identity = listed.json["items"][0]["id"]
    changed = await gateway.request("PATCH", f"/api/v1/repositories/{identity}", {"retry": "max=7 on=lost,failed"})
    assert changed.status == 200
    found = await policy(gateway)
    assert (found.attempts_max, found.on) == (7, ("lost", "failed"))
    own = await policy(gateway, WORKFLOW.replace("runs-on: linux", ENV))
    assert (own.attempts_max, own.on) == (2, ("lost", "failed"))
    shown = await gateway.request("GET", f"/api/v1/repositories/{identity}?at_least={changed.headers['X-Event-Position']}")
    assert shown.json["retry"] == "max=7 on=lost,failed"
    await gateway.request("PATCH", f"/api/v1/repositories/{identity}", {"retry": ""})
    assert await policy(gateway) == default


async def test_a_policy_that_cannot_be_read_is_refused(gateway: Gateway) -> None:
    """422 with the place; 404 for a repository that is not there."""
    run = (await gateway.history(await gateway.run()))[0].data.repository
    answer = await gateway.request("PATCH", f"/api/v1/repositories/{run}", {"retry": "max=0"})
    assert (answer.status, answer.json["code"], answer.json["errors"][0]["pointer"]) == (422, "bad_retry_policy", "/retry")
    answer = await gateway.request("PATCH", f"/api/v1/repositories/{UUID(int=3)}", {"retry": "max=2"})
    assert (answer.status, answer.json["code"]) == (404, "repository_not_found")
