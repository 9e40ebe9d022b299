"""What the bodies of the repository routes may say; each check raises 422 with the place in the body."""

import re

from domain import clone_urls
from domain.workflow import retry_policy
from gateway.problems import ProblemError, problem

SECRET_LENGTH_MIN = 8
NAME_LENGTH_MAX = 300
FULL_NAME = re.compile(r"[^\s/:]+(/[^\s/:]+)+")
WORKFLOW_PATH = re.compile(r"[^\s/][^/]*(/[^/]+)*\.ya?ml")


def check_path(path: str) -> None:
    """The path of a workflow file."""
    fits = WORKFLOW_PATH.fullmatch(path) and ".." not in path.split("/") and len(path) <= NAME_LENGTH_MAX and path.isprintable()
    if not fits:
        raise unfit("bad_path", "/path", f'"{path[:100]}" is no path of a workflow file', "write it as .github/workflows/ci.yml")


def check_name(full_name: str, pointer: str = "/full_name") -> None:
    """The full name of a repository."""
    if not FULL_NAME.fullmatch(full_name) or len(full_name) > NAME_LENGTH_MAX or not full_name.isprintable():
        raise unfit("bad_name", pointer, f'"{full_name[:100]}" is no name of a repository', "write it as owner/name")


def check_url(url: str, provider: str) -> None:
    """Where a repository is fetched from."""
    fault = clone_urls.fault(url, provider)
    if fault is not None:
        raise unfit("bad_clone_url", "/clone_url", f"the clone URL cannot be used: {fault}", "write it as https://host/owner/name.git")


def check_branch(name: str, pointer: str = "/default_branch") -> None:
    """A branch, a tag or a full ref."""
    if (
        not name
        or len(name) > NAME_LENGTH_MAX
        or not name.isprintable()
        or re.search(r"[\s~^:?*\[\\]|\.\.|^[-/]|//|@\{|[/.]$|\.lock$", name)
    ):
        raise unfit("bad_ref", pointer, f'"{name[:100]}" is no name of a branch or tag', "write it as main, or refs/heads/main")


def check_secret(secret: str | None) -> None:
    """A secret that webhooks are signed with."""
    if secret is not None and len(secret) < SECRET_LENGTH_MIN:
        hint = "draw one: openssl rand -hex 32"
        raise unfit("weak_secret", "/webhook_secret", f"the secret is shorter than {SECRET_LENGTH_MIN} characters", hint)


def check_retry(policy: str | None) -> None:
    """A retry policy."""
    try:
        retry_policy.parse(policy or "")
    except ValueError as error:
        hint = 'write it as "max=3 on=lost,failed backoff=5s cap=1m within=1h"; every part may be left out'
        raise unfit("bad_retry_policy", "/retry", f"the retry policy cannot be read: {error}", hint) from error


def unfit(code: str, pointer: str, message: str, hint: str) -> ProblemError:
    """422 with the place in the body."""
    return problem(422, code, message, hint=hint, errors=({"pointer": pointer, "message": message},))
