"""Digests that let a repeat be recognised: of a step's effect, and of a result.

The effect key of a step is the same in every attempt in which the step does the same: attempt numbers are the fence and
no part of it. Secrets count as masked, so that a digest gives nothing away.
"""

import hashlib
import json
from typing import Any

import msgspec

from domain.workflow.model import Step
from runner import wire
from runner.masking import Masker


def sha256(text: str) -> str:
    """The hex digest of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def effect_key(message: wire.JobMessage, step: Step, inputs: dict[str, Any], masker: Masker) -> str:
    """sha256 over run, job key, matrix instance, step index, definition and input digest."""
    definition = sha256(canonical(step))
    digest = sha256(masker.mask(canonical(inputs)))
    return sha256(canonical([str(message.run), message.key or message.definition.key, message.matrix, step.index, definition, digest]))


def result_digest(complete: wire.Complete) -> str:
    """The digest of a report's facts."""
    facts = msgspec.to_builtins(complete)
    del facts["result"]
    return sha256(canonical(facts))
