"""Ed25519 signatures, checked: what runners sign, and what signing.py signs. Only these two modules know the library."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_signed(key: str, signature: bytes, content: bytes) -> bool:
    """Whether the owner of a public key (32 bytes, hexadecimal) has signed this."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True
