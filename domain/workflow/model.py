"""A workflow file as types: what the reader makes of the text, what the planner expands and what a runner executes.

Strings may hold `${{ }}`; they are evaluated where their contexts exist (planner or runner), never here. A workflow is
stored as a blob of canonical JSON, so every type here is JSON-shaped. Lists of fields follow GitHub's workflow syntax.
"""

from typing import Any

import msgspec


class Place(msgspec.Struct, frozen=True, gc=False):
    """Line and column (both from 1) in the file."""

    line: int
    column: int


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all parts of a workflow."""


class Defaults(Model, frozen=True, kw_only=True):
    """`defaults.run`."""

    shell: str | None = None
    working_directory: str | None = None


class Step(Model, frozen=True, kw_only=True):
    """One step; `index` counts from 0, `id` is given or generated (`__run`, `__actions_checkout`, `__run_2`).

    condition: the expression of `if`, without `${{ }}`. places: where the named keys stand, for messages. background,
    wait, wait_all, cancel and parallel are the steps that run beside others; a step has one of run, uses, wait,
    wait_all, cancel and parallel.
    """

    index: int
    id: str
    place: Place
    name: str | None = None
    run: str | None = None
    uses: str | None = None
    with_: dict[str, Any] = msgspec.field(default_factory=dict, name="with")
    shell: str | None = None
    working_directory: str | None = None
    env: dict[str, Any] | str = {}
    condition: str = "success()"
    continue_on_error: bool | str = False
    timeout_minutes: float | str | None = None
    background: bool = False
    wait: tuple[str, ...] = ()
    wait_all: bool = False
    cancel: str | None = None
    parallel: tuple["Step", ...] = ()
    places: dict[str, Place] = {}


class Strategy(Model, frozen=True, kw_only=True):
    """`strategy`. matrix: axes to lists (or an expression), with `include` and `exclude` as written.

    whole: the expression, where all of `strategy` is one.
    """

    matrix: dict[str, Any] | str | None = None
    fail_fast: bool | str = True
    max_parallel: int | str | None = None
    whole: str | None = None


class Job(Model, frozen=True, kw_only=True):
    """One job of the file. runs_on: labels as written (strings may hold expressions), or one expression.

    condition: the expression of `if`, without `${{ }}`, "" where there is none. places: where the named keys stand, for
    messages.
    """

    key: str
    place: Place
    name: str | None = None
    needs: tuple[str, ...] = ()
    condition: str = ""
    runs_on: tuple[str, ...] | str = ()
    runs_on_group: str | None = None
    env: dict[str, Any] | str = {}
    defaults: Defaults = Defaults()
    steps: tuple[Step, ...] = ()
    outputs: dict[str, str] = {}
    strategy: Strategy | None = None
    timeout_minutes: float | str = 360
    cancel_timeout_minutes: float | str = 5
    continue_on_error: bool | str = False
    permissions: dict[str, str] | str | None = None
    environment: dict[str, Any] | str | None = None
    concurrency: dict[str, Any] | str | None = None
    container: dict[str, Any] | str | None = None
    services: dict[str, Any] | str | None = None
    uses: str | None = None
    with_: dict[str, Any] = msgspec.field(default_factory=dict, name="with")
    secrets: dict[str, Any] | str | None = None
    snapshot: dict[str, Any] | str | None = None
    places: dict[str, Place] = {}


class Workflow(Model, frozen=True, kw_only=True):
    """A whole file. on: event name to its filters as written (`{}` where it has none).

    called: the workflows that it calls, and that those call, by their reference; filled in when a run is started.
    """

    path: str
    jobs: dict[str, Job]
    on: dict[str, Any]
    name: str | None = None
    run_name: str | None = None
    env: dict[str, Any] | str = {}
    defaults: Defaults = Defaults()
    permissions: dict[str, str] | str | None = None
    concurrency: dict[str, Any] | str | None = None
    called: dict[str, "Workflow"] = {}
