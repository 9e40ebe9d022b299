"""Views whose code is wrong for some events, and right for the others: the same tables, so that the right code can take over."""

from collections.abc import Callable
from typing import Any

from domain.envelope import Recorded
from projections.table import Apply, Rule, Table, View


def poisoned(view: View, bad: Callable[[Recorded], bool]) -> View:
    """The view with a fold that spoils the row and then raises for the events that are `bad`. Its digest is the view's."""
    return View(view.name, tuple([_poisoned(table, bad) for table in view.tables]), view.version)


def _poisoned(table: Table, bad: Callable[[Recorded], bool]) -> Table:
    rules = {kind: Rule(_raising(rule.apply, bad), rule.keys, rule.opens) for kind, rule in table.rules.items()}
    return Table(table.name, table.row, table.key, rules, scope=table.scope, indexes=table.indexes)


def _raising(apply: Apply, bad: Callable[[Recorded], bool]) -> Apply:
    def fold(row: Any, event: Recorded, key: Any) -> Any:
        done = apply(row, event, key)
        if bad(event):
            raise ZeroDivisionError("the fold is wrong")
        return done

    return fold
