"""Reading a JSON body into its type, and telling where it does not fit: a JSON pointer, or line and column."""

import re
from typing import Any

import msgspec

from gateway.problems import ProblemError, problem

_PLACE = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_BYTE = re.compile(r" \(byte (\d+)\)$")


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The body as the decoder's type. 400: no JSON; 422: JSON of another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error)) from error
    except msgspec.DecodeError as error:
        raise _broken(body, str(error)) from error
    except UnicodeDecodeError as error:
        raise _broken(body, _undecodable(body)) from error
    except RecursionError as error:
        raise problem(400, "bad_json", "the JSON is nested too deeply", hint="send it flatter") from error


def pointer(message: str) -> str:
    """The JSON pointer in a message of msgspec; it ends before a key that msgspec does not name (`[...]`)."""
    found = _PLACE.search(message)
    known = found[1].partition("[...]")[0] if found else ""
    steps = (name or number for name, number in _STEP.findall(known))
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)


def _misfit(message: str) -> ProblemError:
    place = {"pointer": pointer(message), "message": _PLACE.sub("", message)}
    return problem(422, "bad_body", message, hint="see /openapi.json for the shape of this body", errors=(place,))


def _undecodable(body: bytes) -> str:
    """What is no UTF-8, in the words of other faults; msgspec counts from the beginning of the text that it is in."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"{error.reason} (byte {error.start})"
    return "no UTF-8"


def _broken(body: bytes, message: str) -> ProblemError:
    found = _BYTE.search(message)
    before = body[: int(found[1]) if found else len(body)]
    place = {
        "pointer": "",
        "line": before.count(b"\n") + 1,
        "column": len(before) - before.rfind(b"\n"),
        "message": _BYTE.sub("", message),
    }
    return problem(400, "bad_json", message, hint="send JSON", errors=(place,))
