"""Whether a file is what a statement is about, and whether the statement is what somebody wants of it.

Each check has a name that errors and scripts use. The first that fails ends it.
"""

from collections.abc import Mapping

import msgspec

from domain.provenance.dsse import Envelope, IsSigned, opened
from domain.provenance.statement import PAYLOAD_TYPE, Statement, read_statement


class PolicyError(ValueError):
    """A statement is refused. check: "subject", "source-uri", "source-ref", "source-digest", "builder-id", "workflow" or "level"."""

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class Policy(msgspec.Struct, frozen=True):
    """What is wanted; empty: anything will do. workflow: the path of the file; level: the least SLSA build level."""

    source_uri: str = ""
    source_ref: str = ""
    source_digest: str = ""
    builder_id: str = ""
    workflow: str = ""
    level: int = 0


def verify(envelope: Envelope, sha256: str, policy: Policy, keys: Mapping[str, bytes], is_signed: IsSigned) -> Statement:
    """The statement about the file with this digest. Raises EnvelopeError, StatementError or PolicyError."""
    statement = read_statement(opened(envelope, PAYLOAD_TYPE, keys, is_signed))
    about(statement, sha256)
    hold(statement, policy)
    return statement


def about(statement: Statement, sha256: str) -> None:
    """Raise PolicyError unless the file with this digest is one of the subjects."""
    if not any(each.digest.get("sha256") == sha256 for each in statement.subject):
        listed = ", ".join(f"{each.name} (sha256:{each.digest.get('sha256', '')[:12]}…)" for each in statement.subject[:5])
        raise PolicyError("subject", f"no subject has sha256:{sha256}; the statement is about {listed}")


def hold(statement: Statement, policy: Policy) -> None:
    """Raise PolicyError where the statement says something else than is wanted."""
    definition = statement.predicate.build_definition
    workflow = definition.external_parameters.get("workflow")
    told = workflow if isinstance(workflow, dict) else {}
    source = next((each for each in definition.resolved_dependencies if each.uri.startswith("git+")), None)
    commit = source.digest.get("gitCommit", "") if source is not None else ""
    level = statement.parameters.get("level", 0)
    _same("source-uri", _place(str(told.get("repository", ""))), _place(policy.source_uri))
    _same("source-ref", str(told.get("ref", "")), policy.source_ref)
    _same("source-digest", commit, policy.source_digest.removeprefix("gitCommit:"))
    _same("builder-id", statement.predicate.run_details.builder.id, policy.builder_id)
    _same("workflow", str(told.get("path", "")), policy.workflow)
    if not isinstance(level, int) or level < policy.level:
        reason = statement.parameters.get("level_reason", "it does not say why")
        raise PolicyError("level", f"the build level is {level}, and {policy.level} is asked for: {reason}")


def _same(check: str, told: str, wanted: str) -> None:
    if wanted and told != wanted:
        raise PolicyError(check, f"the statement says {told or 'nothing'!r}, and {wanted!r} is asked for")


def _place(uri: str) -> str:
    """A repository however people write it: with or without `git+`, scheme of the web and `.git`."""
    bare = uri.removeprefix("git+").removeprefix("https://").removeprefix("http://")
    return bare.rstrip("/").removesuffix(".git")
