"""The book: transactions of postings, each of which sums to zero."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal


class UnbalancedError(ValueError):
    """The postings of a transaction do not sum to zero."""


@dataclass(frozen=True)
class Posting:
    """An amount on an account: positive is debit, negative is credit."""

    account: str
    amount: Decimal


class Book:
    """An append-only list of transactions; balances are derived from it, never stored."""

    def __init__(self) -> None:
        self._transactions: list[tuple[Posting, ...]] = []

    def record(self, *postings: Posting) -> None:
        """Append a transaction. Raises UnbalancedError and appends nothing when it does not sum to zero."""
        total = sum((posting.amount for posting in postings), Decimal(0))
        if total != 0 or len(postings) < 2:
            raise UnbalancedError(f"{len(postings)} postings sum to {total}, not to 0")
        self._transactions.append(postings)

    def balances(self) -> dict[str, Decimal]:
        """The balance of every account, by name."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for transaction in self._transactions:
            for posting in transaction:
                found[posting.account] += posting.amount
        return dict(sorted(found.items()))

    def __len__(self) -> int:
        return len(self._transactions)
