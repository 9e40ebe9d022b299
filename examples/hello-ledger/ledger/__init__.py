"""A tiny double-entry ledger: accounts, postings that balance, and a statement."""

from ledger.book import Book, Posting, UnbalancedError
from ledger.statement import read_csv, render

__version__ = "1.2.0"
__all__ = ["Book", "Posting", "UnbalancedError", "read_csv", "render"]
