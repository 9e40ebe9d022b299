"""The table of events: what may stand under `on`, with activity types and filters, as GitHub documents them.

A new event or type of GitHub is one more line here. Which types are on by default is domain/workflow/triggers.py's.
"""

from domain.workflow.shapes import (
    BOOLEAN,
    NAME,
    NAME_OR_NAMES,
    NAMES,
    NULL,
    SCALAR,
    TEXT,
    Scope,
    Shape,
    constant,
    listed,
    mapping,
    one_of,
)

ISSUE_TYPES = (
    "opened edited deleted transferred pinned unpinned closed reopened assigned unassigned labeled unlabeled locked unlocked"
    " milestoned demilestoned field_added field_removed typed untyped"
)
PULL_REQUEST_TYPES = (
    "assigned unassigned labeled unlabeled opened edited closed reopened synchronize converted_to_draft locked unlocked enqueued"
    " dequeued milestoned demilestoned ready_for_review review_requested review_request_removed auto_merge_enabled"
    " auto_merge_disabled stacked"
)
BRANCHES = ("branches", "branches-ignore")
PATHS = ("paths", "paths-ignore")
TAGS = ("tags", "tags-ignore")

ACTIVITIES: dict[str, str] = {
    "branch_protection_rule": "created edited deleted",
    "check_run": "completed created rerequested requested_action",
    "check_suite": "completed",
    "discussion": "created edited deleted transferred pinned unpinned labeled unlabeled locked unlocked category_changed answered"
    " unanswered",
    "discussion_comment": "created edited deleted",
    "image_version": "created ready deleted",
    "issue_comment": "created edited deleted",
    "issues": ISSUE_TYPES,
    "label": "created edited deleted",
    "merge_group": "checks_requested",
    "milestone": "created closed opened edited deleted",
    "project": "created closed reopened edited deleted",
    "project_card": "created moved converted edited deleted",
    "project_column": "created updated moved deleted",
    "pull_request": PULL_REQUEST_TYPES,
    "pull_request_comment": "created edited deleted",
    "pull_request_review": "submitted edited dismissed",
    "pull_request_review_comment": "created edited deleted",
    "pull_request_target": PULL_REQUEST_TYPES,
    "registry_package": "published updated",
    "release": "published unpublished created edited deleted prereleased released",
    "watch": "started",
    "workflow_run": "requested completed in_progress",
}
FILTERS: dict[str, tuple[str, ...]] = {
    "push": BRANCHES + TAGS + PATHS,
    "pull_request": BRANCHES + PATHS,
    "pull_request_target": BRANCHES + PATHS,
    "merge_group": BRANCHES,
    "workflow_run": ("workflows", *BRANCHES),
    "image_version": ("names", "versions"),
}
WITHOUT_OPTIONS = ("create", "delete", "deployment", "deployment_status", "fork", "gollum", "page_build", "public", "status")

_CALL_DEFAULT = one_of(SCALAR, scope=Scope(("github", "inputs", "vars")))
_CALL_INPUT = mapping(
    "input",
    {"description": TEXT, "type": constant("string", "boolean", "number"), "required": BOOLEAN, "default": _CALL_DEFAULT},
    required=["type"],
)
_CALL_SECRET = one_of(NULL, mapping("secret", {"description": TEXT, "required": BOOLEAN}))
_CALL_OUTPUT = mapping(
    "output", {"description": TEXT, "value": TEXT.within(Scope(("github", "inputs", "vars", "jobs")))}, required=["value"]
)
_CALL = mapping(
    "workflow_call",
    {
        "inputs": mapping("inputs", loose=_CALL_INPUT),
        "secrets": mapping("secrets", loose=_CALL_SECRET),
        "outputs": mapping("outputs", loose=_CALL_OUTPUT),
    },
)
_DISPATCH_INPUT = one_of(
    NULL,
    mapping(
        "input",
        {
            "description": TEXT,
            "type": constant("string", "boolean", "number", "environment", "choice"),
            "required": BOOLEAN,
            "default": SCALAR,
            "options": listed(TEXT),
        },
    ),
)
_DISPATCH = mapping("workflow_dispatch", {"inputs": one_of(NULL, mapping("inputs", loose=_DISPATCH_INPUT))})
_SCHEDULE = listed(mapping("schedule", {"cron": NAME, "timezone": NAME}, required=["cron"]))


def _event(name: str) -> Shape:
    keys = dict.fromkeys(FILTERS.get(name, ()), NAME_OR_NAMES)
    if name in ACTIVITIES:
        types = constant(*ACTIVITIES[name].split())
        keys["types"] = one_of(types, listed(types))
    return one_of(NULL, mapping(name, keys))


EVENTS: dict[str, Shape] = {
    **{name: _event(name) for name in sorted({*ACTIVITIES, *FILTERS})},
    **dict.fromkeys(WITHOUT_OPTIONS, NULL),
    "repository_dispatch": one_of(NULL, mapping("repository_dispatch", {"types": NAMES})),
    "schedule": _SCHEDULE,
    "workflow_call": one_of(NULL, _CALL),
    "workflow_dispatch": one_of(NULL, _DISPATCH),
}
_EVENT_NAME = constant(*EVENTS)
ON = one_of(_EVENT_NAME, listed(_EVENT_NAME), mapping("on", EVENTS))
