"""Between tenants nothing is written: to a command of one, the streams of another are not there."""

import random
from uuid import UUID

import pytest

from commands.handle import Origin
from domain import ids
from domain.job import commands as c
from domain.repository_commands import SetWorkflowEnabled
from domain.run import commands as r
from tests.domain.machine import Machine
from tests.domain.world import World, drive

STRANGER = Origin("stranger", "someone", command=ids.command_id("test", "stranger"))
NOBODY = ids.derive("nobody")


def test_a_command_of_another_tenant_is_answered_as_if_there_were_nothing() -> None:
    """Word for word as for an id that nobody has, and the log stays as it is."""
    machine = Machine()
    world = machine.world
    world.send(r.RegisterRunner(world.runners[0], "r", ("linux",), 1, "linux", "x64", "0"))
    job = machine.state.live_jobs()[0]
    asked = {
        machine.run: (lambda run: r.CancelRun(run, "by a stranger"), lambda run: r.RerunRun(run, "all")),
        job: (lambda job: c.CancelJob(job, "by a stranger"), lambda job: c.AcquireJob(job, NOBODY, "r", ("linux",), 30, 120)),
        world.runners[0]: (lambda runner: r.NoteRunner(runner, "drain"), lambda runner: r.ClaimSlots(runner, 1, 0)),
        machine.state.facts.workflow: (lambda workflow: SetWorkflowEnabled(workflow, enabled=False),),
    }
    known = len(world.log)
    for stream, commands in asked.items():
        for command in commands:
            foreign = drive(world.handler.handle(command(stream), STRANGER))
            absent = drive(world.handler.handle(command(NOBODY), STRANGER))
            assert foreign.refusal.code == absent.refusal.code
            assert foreign.refusal.message.replace(str(stream), "") == absent.refusal.message.replace(str(NOBODY), "")
            assert foreign.state is None
    assert len(world.log) == known


@pytest.mark.parametrize("tenant", ["default", "stranger"])
def test_a_runner_of_another_tenant_cannot_be_taken_over(tenant: str) -> None:
    """Registering it again changes it for its own tenant only."""
    world = World(random.Random(0).randrange)
    runner: UUID = world.runners[0]
    world.send(r.RegisterRunner(runner, "r", ("linux",), 1, "linux", "x64", "0"))
    again = r.RegisterRunner(runner, "other", ("gpu",), 1, "linux", "x64", "0")
    outcome = drive(world.handler.handle(again, Origin(tenant, "someone", command=ids.command_id("test", "again"))))
    assert (outcome.refusal is None) == (tenant == "default")
    assert drive(world.handler.state(runner, "runner")).facts.name == ("other" if tenant == "default" else "r")
