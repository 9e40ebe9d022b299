"""Examples for the OpenAPI document, made of the types themselves and of one vocabulary.

A field of one name has one example wherever it stands, so the examples of two operations fit together: the run that one
starts is the run that the other shows. A field with a default is left out unless the vocabulary has a word for it.
"""

from typing import Any

from msgspec import NODEFAULT, inspect

AT = "2026-11-21T14:02:00Z"
SHA = "4f2d1c0b9a8e7f6d5c4b3a29181706f5e4d3c2b1"
RUN = "5b0f6a1e-3a52-5c1e-8b0d-6a3c9a1f7e21"
JOB = "c3a1d7c2-7d0b-5f5e-9a41-2f6f4b7a9d10"
ID = "8d5e2a74-1b6c-5e0f-9c3a-7b1d4e6f8a90"

VOCABULARY: dict[str, Any] = {
    "action": "CancelRun",
    "actor": "admin-2f7c11e09ab4",
    "attempt": 1,
    "branch": "main",
    "changed_paths": ["src/pay.py"],
    "clone_url": "https://git.example/acme/pay.git",
    "code": "run_completed",
    "column": None,
    "conclusion": "success",
    "condition": "success()",
    "content": "name: ci",
    "data": {"reason": "cancelled by request", "force": False, "run_attempt": 1},
    "definition": {"key": "build", "steps": []},
    "depth": 3,
    "redact": ["email"],
    "logs": False,
    "digest": "sha256:9f2c4b1d8a7e6f5c3b2a1908f7e6d5c4b3a29180f7e6d5c4b3a2918070f6e5d4",
    "detail": "run 7 ended success; it cannot be cancelled",
    "diagnostics": [],
    "errors": [{"pointer": "/ref", "message": "Expected `str`, got `int`"}],
    "event": "push",
    "exit_code": 0,
    "expires_in_seconds": 90.0,
    "fair_key": ID,
    "first": 1000,
    "full_name": "acme/pay",
    "generation": 1,
    "github": {"event_name": "push", "repository": "acme/pay", "sha": SHA},
    "hint": "GET /api/v1/runs lists them",
    "id": ID,
    "instance": "/api/v1/requests/3f9d0c7be2a84b15",
    "job": JOB,
    "job_id": JOB,
    "jobs": [JOB],
    "key": "build",
    "labels": ["self-hosted", "linux"],
    "lag": 0,
    "Health.lag": {"status": 0},
    "lane": "default",
    "level": "ok",
    "matrix": {"python": "3.12"},
    "name": "build",
    "needs": ["lint"],
    "next_cursor": None,
    "number": 7,
    "outcome": "success",
    "parts": {"store": "ok"},
    "path": ".github/workflows/ci.yml",
    "payload": {"ref": "refs/heads/main", "after": SHA},
    "position": 4711,
    "progress": "told",
    "provider": "git",
    "ref": "refs/heads/main",
    "registration": "box-2",
    "repository": "acme/pay",
    "result": "9f2c63d1",
    "retry": "max=3 on=lost",
    "run": RUN,
    "run_attempt": 1,
    "run_id": RUN,
    "runner": ID,
    "runs_on": ["ubuntu-latest"],
    "second": 2000,
    "sha": SHA,
    "size": 2000,
    "source": "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b",
    "source_url": "https://git.example/acme/pay.git",
    "state": "completed (success)",
    "status": "completed",
    "stream": ID,
    "tables": ["views.runs"],
    "tenant": "default",
    "text": "hello",
    "title": "Add the ledger",
    "token": "2f7c11e09ab4",
    "triggering_actor": "admin-2f7c11e09ab4",
    "type": "RunCancellationRequested",
    "url": f"https://ci.example/api/v1/runs/{RUN}",
    "version": 3,
    "workflow": "ci",
    "workflow_id": ID,
    "workflow_path": ".github/workflows/ci.yml",
    # within one type
    "CommitStatusRow.context": "ledgermill/ci (push)",
    "CommitStatusRow.description": "Run #7: success",
    "CommitStatusRow.state": "success",
    "EventShape.schema": 1,
    "EventShape.stream": RUN,
    "JobShape.id": JOB,
    "JobShape.runner": "box-2",
    "Line.stream": "stdout",
    "PlannedJob.steps": 3,
    "PlanRuns.jobs": [],
    "KeyShape.key": "ledgermill/0+33d4c66f+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "KeyShape.name": "ledgermill/0",
    "NewToken.name": "deploys",
    "NewToken.expires_in_seconds": 7_776_000,
    "MadeToken.name": "deploys",
    "TokenRow.name": "deploys",
    "NewToken.tenant": "default",
    "NewSubscription.url": "https://hooks.example/ledgermill",
    "NewSubscription.types": ["RunCompleted"],
    "NewSubscription.secret": "whsec_YW4gZXhhbXBsZSwgbm90IGEgc2VjcmV0IQ==",
    "ChangedSubscription.enabled": True,
    "SubscriptionShape.url": "https://hooks.example/ledgermill",
    "SubscriptionShape.types": ["RunCompleted"],
    "SubscriptionShape.enabled": True,
    "SubscriptionShape.reason": "",
    "SentEvent.type": "RunCompleted",
    "SentEvent.problem": "",
    "SentEvent.status": 204,
    "SentEvent.next_attempt_at": None,
    "role": "developer",
    "Problem.code": "run_not_found",
    "Problem.detail": f"there is no run {RUN}",
    "Problem.status": 404,
    "Problem.title": "Run not found",
    "Problem.type": "urn:ledgermill:problem:run_not_found",
    "Register.name": "box-2",
    "RunAttemptShape.id": RUN,
    "RunShape.id": RUN,
    "Runner.name": "box-2",
    "Runner.state": "idle",
    "Runner.version": "0.2.0",
    "Source.path": "/acme/pay",
    "Source.url": "https://git.example/acme/pay.git",
    "TriggerRequest.jobs": [],
    "WorkflowFile.text": "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make test\n",
}


def example(kind: Any) -> Any:
    """A value of this type as JSON has it."""
    return _value(inspect.type_info(kind), "", "")


def word(name: str, fallback: Any = None) -> Any:
    """The example of a field of this name."""
    return VOCABULARY.get(name, fallback)


def _value(kind: inspect.Type, name: str, owner: str) -> Any:
    for known in (f"{owner}.{name}", name):
        if known in VOCABULARY and _fits(kind, VOCABULARY[known]):
            return VOCABULARY[known]
    match kind:
        case inspect.Metadata(type=inner):
            return _value(inner, name, owner)
        case inspect.StructType():
            return _struct(kind)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.CollectionType(item_type=item):
            return [_value(item, name.removesuffix("s"), owner)]
        case inspect.DictType():
            return {}
        case inspect.UnionType(types=types):
            return _value(next((each for each in types if not isinstance(each, inspect.NoneType)), types[0]), name, owner)
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.DateTimeType():
            return AT
        case inspect.UUIDType():
            return ID
        case inspect.BoolType():
            return False
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.StrType():
            return name
        case inspect.BytesType():
            return "5OArqDHfM2M="
        case _:
            return None


def _struct(kind: inspect.StructType) -> dict[str, Any]:
    owner = kind.cls.__name__.partition("[")[0]
    found = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
    for field in kind.fields:
        given = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
        if not given or field.name in VOCABULARY or f"{owner}.{field.name}" in VOCABULARY:
            found[field.encode_name] = _value(field.type, field.name, owner)
    return found


def _fits(kind: inspect.Type, value: Any) -> bool:
    """Whether a word is a value of the field's type: the same name may stand for something else somewhere."""
    match kind:
        case inspect.AnyType():
            return True
        case inspect.Metadata(type=inner):
            return _fits(inner, value)
        case inspect.UnionType(types=types):
            return any(_fits(each, value) for each in types)
        case inspect.LiteralType(values=values):
            return value in values
        case inspect.NoneType():
            return value is None
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType() | inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.UUIDType():
            return value in {ID, RUN, JOB}
        case inspect.DictType(value_type=item):
            return isinstance(value, dict) and all(_fits(item, each) for each in value.values())
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return isinstance(value, list) and all(_fits(item, each) for each in value)
        case _:
            return False
