"""The book keeps its promise: every transaction sums to zero, and balances follow from transactions."""

import unittest
from decimal import Decimal

from ledger import Book, Posting, UnbalancedError


class BookTest(unittest.TestCase):
    def test_a_balanced_transaction_moves_money(self) -> None:
        book = Book()
        book.record(Posting("assets:bank", Decimal("12.50")), Posting("income:mill", Decimal("-12.50")))
        self.assertEqual(book.balances(), {"assets:bank": Decimal("12.50"), "income:mill": Decimal("-12.50")})

    def test_an_unbalanced_transaction_is_refused_and_leaves_nothing_behind(self) -> None:
        book = Book()
        with self.assertRaisesRegex(UnbalancedError, "sum to 1"):
            book.record(Posting("assets:bank", Decimal(3)), Posting("income:mill", Decimal(-2)))
        self.assertEqual(len(book), 0)
        self.assertEqual(book.balances(), {})

    def test_a_single_posting_is_no_transaction(self) -> None:
        with self.assertRaises(UnbalancedError):
            Book().record(Posting("assets:bank", Decimal(0)))

    def test_balances_add_up_over_transactions(self) -> None:
        book = Book()
        for amount in (1, 2, 3):
            book.record(Posting("a", Decimal(amount)), Posting("b", Decimal(-amount)))
        self.assertEqual(book.balances(), {"a": Decimal(6), "b": Decimal(-6)})


if __name__ == "__main__":
    unittest.main()
