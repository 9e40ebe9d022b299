"""An action's metadata (action.yml) as types: what it takes, what it gives, and how it runs.

Strings may hold `${{ }}`; they are evaluated when the action runs, never here.
"""

from typing import Any, Literal

import msgspec

from domain.workflow.model import Model, Step

Kind = Literal["composite", "node", "docker", "plugin"]


class Input(Model, frozen=True, kw_only=True):
    """An input. deprecation: the message that its use shows."""

    description: str = ""
    required: bool = False
    default: Any = None
    deprecation: str = ""


class Output(Model, frozen=True, kw_only=True):
    """An output. value: of a composite action, an expression over its steps."""

    description: str = ""
    value: str = ""


class Runs(Model, frozen=True, kw_only=True):
    """`runs`. using: as written ("node24"). before, main and after are scripts of node, entrypoints of docker.

    steps: of composite. image, args and env: of docker. before_if and after_if: conditions without `${{ }}`.
    """

    kind: Kind
    using: str
    main: str = ""
    before: str = ""
    before_if: str = "always()"
    after: str = ""
    after_if: str = "always()"
    steps: tuple[Step, ...] = ()
    image: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, Any] = msgspec.field(default_factory=dict)
    plugin: str = ""


class Action(Model, frozen=True, kw_only=True):
    """A whole action.yml."""

    path: str
    runs: Runs
    name: str = ""
    description: str = ""
    author: str = ""
    inputs: dict[str, Input] = msgspec.field(default_factory=dict)
    outputs: dict[str, Output] = msgspec.field(default_factory=dict)
    branding: dict[str, Any] = msgspec.field(default_factory=dict)
