"""The public conformance cases of the expression and pattern languages, read in place and never copied here."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from domain.workflow.expressions import ExpressionError, evaluate
from domain.workflow.filters import ignored, included
from domain.workflow.values import kind

DATA = Path(os.environ.get("LEDGERMILL_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data"
ODD_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}


def text_of(name: str) -> str:
    """The content of a shared file; skips where the data are not at hand, fails there in CI."""
    path = DATA / name
    if not path.exists():
        message = f"{path} is not there: set LEDGERMILL_SHARED to the folder of the shared conformance data"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path.read_text(encoding="utf-8")


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(name).splitlines()]


def same(got: Any, wanted: Any) -> bool:
    """Equality that knows NaN and -0, and that true is not 1."""
    if isinstance(got, float) and isinstance(wanted, str):
        wanted = ODD_NUMBERS.get(wanted, wanted)
    if isinstance(got, bool) or isinstance(wanted, bool) or isinstance(got, str) or got is None:
        return type(got) is type(wanted) and got == wanted
    if isinstance(got, (int, float)):
        both_nan = math.isnan(got) and math.isnan(wanted)
        return both_nan or (got == wanted and math.copysign(1, got) == math.copysign(1, wanted))
    if isinstance(got, list):
        return isinstance(wanted, list) and len(got) == len(wanted) and all(map(same, got, wanted))
    return isinstance(wanted, dict) and list(got) == list(wanted) and all(same(got[key], wanted[key]) for key in got)


def breach(case: dict[str, Any]) -> str:
    """What is wrong with our answer to a case of expressions.jsonl; empty when nothing is."""
    try:
        value = evaluate(case["expr"], case.get("contexts", {}))
    except ExpressionError as error:
        wanted = case.get("err")
        if wanted is None:
            return f"raised {error.message}"
        # Some messages of the suite are cut off: they are beginnings, and a number at their end may be one too.
        place = re.search(r"position (\d+) within", wanted["value"])
        right = error.phase == wanted["kind"] and error.message.startswith(wanted["value"])
        return "" if right and (place is None or error.position == int(place[1])) else f"{error.phase} {error.position}: {error.message}"
    wanted = case.get("result")
    if wanted is None:
        return f"gave {value!r} instead of an error"
    return "" if kind(value) == wanted["kind"] and same(value, wanted["value"]) else f"gave {kind(value)} {value!r}"


def suite_breaches() -> list[str]:
    """What is wrong, of all cases of expressions.jsonl."""
    return [f"{case['id']}: {found}" for case in lines_of("expressions.jsonl") if (found := breach(case))]


def test_github_expression_cases_give_the_same_values_and_errors():
    """Every case of GitHub's own expression suite has the same kind, value, phase, message and position here."""
    assert suite_breaches() == []


def generated_breaches() -> list[str]:
    """The ids of the generated expressions with another answer than the recorded one."""
    setting = json.loads(text_of("expressions_fuzz_context.json"))
    functions = {name: _constant(answer) for name, answer in setting["functions"].items()}
    breaches = []
    for case in lines_of("expressions_fuzz_seed1.jsonl"):
        answer = case["answer"]
        try:
            value = evaluate(case["expr"], setting["contexts"], functions)
            right = answer["ok"] and kind(value) == answer["kind"] and same(value, answer["value"])
        except ExpressionError as error:
            right = not answer["ok"] and error.phase == answer["phase"] and answer.get("pos") in (None, error.position)
        if not right:
            breaches.append(case["id"])
    return breaches


def test_generated_expressions_give_what_the_npm_library_gave():
    """Kind, value, verdict, phase and position agree with the recorded answers of the published library."""
    assert generated_breaches() == []


def _constant(answer: Any) -> Any:
    return lambda: answer


def filter_breaches() -> list[str]:
    """The ids of the pattern cases with another verdict."""
    return [
        case["id"]
        for case in lines_of("filter_patterns.jsonl")
        if included(case["patterns"], case["inputs"]) is case["include_skips"]
        or (case["ignore_authoritative"] and ignored(case["patterns"], case["inputs"]) is not case["ignore_skips"])
    ]


def test_filter_pattern_cases_give_the_same_verdicts():
    """Whether `paths` and `paths-ignore` skip a run agrees with every recorded verdict."""
    assert filter_breaches() == []
