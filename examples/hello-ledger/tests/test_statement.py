"""The statement says what the book says."""

import unittest
from decimal import Decimal

from ledger import UnbalancedError, read_csv, render

LINES = ["transaction,account,amount", "1,assets:bank,10.00", "1,income:mill,-10.00"]


class StatementTest(unittest.TestCase):
    def test_a_file_becomes_a_book(self) -> None:
        self.assertEqual(read_csv(LINES).balances(), {"assets:bank": Decimal("10.00"), "income:mill": Decimal("-10.00")})

    def test_an_unbalanced_file_is_refused(self) -> None:
        with self.assertRaises(UnbalancedError):
            read_csv([*LINES, "2,assets:bank,1.00", "2,income:mill,-2.00"])

    def test_the_statement_lists_accounts_and_total(self) -> None:
        self.assertEqual(
            render(read_csv(LINES)).splitlines(),
            ["assets:bank       10.00", "income:mill      -10.00", "total              0.00"],
        )

    def test_an_empty_book_has_a_total_of_zero(self) -> None:
        self.assertEqual(render(read_csv(LINES[:1])).split(), ["total", "0.00"])


if __name__ == "__main__":
    unittest.main()
