"""The bytes of a delivery as the object that they are: JSON, or a form with the JSON in its field `payload` (GitHub's other kind)."""

from urllib.parse import parse_qs

import msgspec

from domain.webhooks.shape import Json

FORM = b"payload="


class PayloadError(ValueError):
    """The bytes are no object. The message says what they are instead."""


def payload_of(content: bytes) -> Json:
    """The object in a delivery's body. Raises PayloadError."""
    if content.startswith(FORM):
        try:
            content = parse_qs(content.decode("ascii"), strict_parsing=True, max_num_fields=10)["payload"][0].encode()
        except (ValueError, KeyError) as error:
            raise PayloadError(f"the form cannot be read: {error}") from error
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError(f"it is no JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise PayloadError("it is JSON, but no object")
    return decoded
