"""A million random expressions: the proof that no text which a stranger writes can crash the evaluator or hold it up."""

import random
import time

import pytest

from domain.workflow.expressions import ExpressionError, evaluate
from tests.domain.workflow.random_expressions import Grammar

EXPRESSIONS = 1_000_000
SECONDS_MAX_EACH = 1.0
CONTEXTS = {
    "github": {
        "ref": "refs/heads/main",
        "event": {"labels": [{"name": "bug"}, {"name": None}], "n": 7, "f": 1.5},
        "items": list(range(50)),
    },
    "env": {"A": "1", "EMPTY": "", "TEXT": "{0} {1} é " * 5, "JSON": '{"a":[1,{"b":null}]}'},
}
GRAMMAR = Grammar(
    leaves=(
        *("github", "github.event.labels", "github.*", "github.items", "env", "env.A", "env.TEXT", "env.JSON", "env.x"),
        *("1", "-0", "1e400", "NaN", "0x1F", "''", "'a'", "'{0}{1}'", "'[1,[2]]'", "'it''s'", "true", "false", "null"),
        *("unknown", "success()"),
    ),
    calls=("contains", "startsWith", "endsWith", "format", "join", "toJSON", "fromJSON", "case", "nothing"),
    suffixes=(".a", ".name", ".*", "[0]", "[*]", "['b']", "[-1]", "[null]"),
    noise="()[].,*!<>=&|'\"1ab -+$}{\t\n~@\u00e9\U0001f600",
)


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
def test_a_million_random_expressions_give_a_value_or_an_error():
    """Nothing but ExpressionError is raised, and no expression takes a second of the processor."""
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)
    slowest = (0.0, "")
    for number in range(EXPRESSIONS):
        text = GRAMMAR.expression(dice, dice.randrange(5))
        if dice.random() < 0.3:
            text = GRAMMAR.fault(dice, text)
        began = time.process_time()
        try:
            evaluate(text, CONTEXTS, {"success": lambda: True})
        except ExpressionError:
            pass
        except BaseException as error:
            error.add_note(f"seed {seed}, expression {number}: {text}")
            raise
        slowest = max(slowest, (time.process_time() - began, text))
    assert slowest[0] < SECONDS_MAX_EACH, f"seed {seed}: {slowest}"
