"""What a runner is told of a job: assembled from the run's state, the plan's blob and the results of its needs."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from commands.handle import Handler
from commands.sources import SourceLoader
from domain.job.state import Acquired
from domain.run.run_contexts import Sources, github_context, inputs_context, needs_context, secrets_context
from domain.run.state import Run
from domain.workflow import calls, step_order
from domain.workflow.model import Job
from gateway.job_tokens import JobTokens
from runner import wire


class JobMessages:
    """Builds `JobMessage`s."""

    def __init__(self, handler: Handler, sources: SourceLoader, tokens: JobTokens) -> None:
        self._handler = handler
        self._sources = sources
        self._tokens = tokens

    async def of(self, job: Acquired) -> wire.JobMessage:
        """The message for the attempt that was just acquired."""
        spec, lease = job.life.spec, job.lease
        run: Run = await self._handler.state(spec.run, "run")
        workflow = await self._sources.workflow(spec.plan)
        payload = await self._sources.payload(run.facts.payload)
        scope, written = calls.definition(workflow, spec.key)
        definition = msgspec.structs.replace(written, steps=step_order.in_order(written.steps))
        return wire.JobMessage(
            job=job.life.job,
            run=spec.run,
            attempt=lease.attempt,
            epoch=lease.epoch,
            lease=lease.lease,
            name=spec.name,
            key=spec.key,
            definition=definition,
            workflow_env=scope.env,
            workflow_defaults=scope.defaults,
            github=github_context(run, payload),
            matrix=spec.matrix,
            strategy=strategy_context(run, spec.key, definition, job.life.job),
            needs=needs_context(run, spec.needs),
            inputs=inputs_context(run, spec.key),
            secrets=secrets_context(run, Sources(workflow, payload), spec.key, {}),
            source=wire.Source(
                url=run.facts.source_url,
                sha=run.facts.sha,
                ref=run.facts.ref,
                path=f"/{quote(run.facts.repository_name)}",
                token=self._tokens.of(job.life.job, lease.epoch),
            ),
            timeout_seconds=spec.timeout_seconds,
            cancel_timeout_seconds=spec.cancel_timeout_seconds,
        )


def strategy_context(run: Run, key: str, definition: Job, job: UUID) -> dict[str, Any]:
    """The `strategy` context: this job's place among the instances of its node."""
    node = run.nodes[key]
    siblings = list(node.jobs)
    total = len(siblings)
    declared = definition.strategy.max_parallel if definition.strategy is not None else None
    return {
        "fail-fast": node.fail_fast,
        "job-index": siblings.index(job) if job in node.jobs else 0,
        "job-total": total,
        "max-parallel": declared if isinstance(declared, int) else total,
    }
