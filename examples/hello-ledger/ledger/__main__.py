"""`python3 -m ledger FILE.csv`: print the statement of a file."""

import sys
from pathlib import Path

from ledger.statement import read_csv, render

print(render(read_csv(Path(sys.argv[1]).read_text().splitlines())))
