"""How addresses are shown."""

import pytest

from gateway.address import without_password


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://mill:s3cret@db:5432/mill", "postgresql://mill:***@db:5432/mill"),
        ("postgresql://mill@db/mill?sslmode=require", "postgresql://mill@db/mill?sslmode=require"),
        ("postgresql://db/mill?user=mill&password=s3cret&sslmode=require", "postgresql://db/mill?user=mill&password=***&sslmode=require"),
        ("host=db user=mill password=s3cret dbname=mill", "host=db user=mill password=*** dbname=mill"),
        ("nats://token@nats:4222", "nats://***@nats:4222"),
        ("nats://mill:s3cret@nats:4222", "nats://mill:***@nats:4222"),
        ("nats://nats:4222", "nats://nats:4222"),
    ],
)
def test_a_password_is_not_shown(given: str, shown: str) -> None:
    """Neither where a URL has it, nor in its query, nor in a connection string; all else stays."""
    assert without_password(given) == shown
