"""Reading transactions from CSV and writing the balances as text."""

import csv
from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby

from ledger.book import Book, Posting


def read_csv(lines: Iterable[str]) -> Book:
    """A book from lines of `transaction,account,amount`; lines of one transaction stand together."""
    book = Book()
    rows = csv.DictReader(lines)
    for _, group in groupby(rows, key=lambda row: row["transaction"]):
        book.record(*(Posting(row["account"], Decimal(row["amount"])) for row in group))
    return book


def render(book: Book) -> str:
    """One line for each account and one for the total, amounts to the right."""
    balances = book.balances()
    width = max((len(account) for account in balances), default=0) + 2
    lines = [f"{account:<{width}}{amount:>10.2f}" for account, amount in balances.items()]
    return "\n".join([*lines, f"{'total':<{width}}{sum(balances.values(), Decimal(0)):>10.2f}"])
