"""Reading and planning a file costs a small multiple of parsing its YAML."""

import pytest
import yaml

from bench.samples import workflow_file
from domain.workflow import plan
from domain.workflow.reader import read
from domain.workflow.support import unsupported
from tests.yardstick import in_time, milliseconds, slowness

TIMES_COMPOSE_MAX = 4
MILLISECONDS_MAX = 15
ROUNDS = range(25, 400)
"""A busy machine slows single rounds: the best of at least and at most so many has to keep the bounds."""


def test_a_big_file_is_read_and_planned_in_time():
    """At most four times a bare compose, and 15 ms of the reference machine for 13 KB."""
    text = workflow_file()
    contexts = {"github": {"event_name": "push"}, "inputs": {}, "vars": {}, "needs": {}}

    def work() -> None:
        workflow, _ = read("big.yml", text)
        assert workflow is not None
        unsupported(workflow)
        for node in plan.nodes(workflow):
            plan.expand(workflow, node.key, contexts, {})

    compose = whole = float("inf")
    for number in range(ROUNDS.stop):
        # Both in turn, so that a busy machine hits them alike.
        compose = min(compose, milliseconds(lambda: yaml.compose(text, Loader=yaml.CSafeLoader)))
        whole = min(whole, milliseconds(work))
        if number in ROUNDS and whole <= TIMES_COMPOSE_MAX * compose and in_time(whole, MILLISECONDS_MAX):
            return
    pytest.fail(f"{whole:.1f} ms, a bare compose {compose:.1f} ms, the machine {slowness():.1f} times slower than the reference")
