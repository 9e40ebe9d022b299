"""Random expressions of a grammar, most of which parse; and the same with a fault put into them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

SIGNS = ("==", "!=", "<", "<=", ">", ">=", "&&", "||")


@dataclass(frozen=True)
class Grammar:
    """What an expression may be made of. noise: the characters of a fault."""

    leaves: Sequence[str]
    calls: Sequence[str]
    suffixes: Sequence[str]
    noise: str

    def expression(self, dice: random.Random, depth: int) -> str:
        """One that mostly parses, of all parts of the language, nested at most depth deep."""
        shape = dice.random()
        if depth == 0 or shape < 0.2:
            return dice.choice(self.leaves)
        if shape < 0.5:
            return f"{self.expression(dice, depth - 1)} {dice.choice(SIGNS)} {self.expression(dice, depth - 1)}"
        if shape < 0.6:
            return "!" + self.expression(dice, depth - 1)
        if shape < 0.75:
            return f"({self.expression(dice, depth - 1)}){dice.choice(self.suffixes)}"
        arguments = ", ".join(self.expression(dice, depth - 1) for _ in range(dice.randrange(1, 4)))
        return f"{dice.choice(self.calls)}({arguments})"

    def fault(self, dice: random.Random, text: str) -> str:
        """The text with one character put in or replaced."""
        place = dice.randrange(len(text) + 1)
        return text[:place] + dice.choice(self.noise) + text[place + dice.randrange(2) :]
