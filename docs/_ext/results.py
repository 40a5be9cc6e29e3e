"""``.. results:: FILE.json KEY/KEY``: a table of what a benchmark wrote with --out.

The files are in ``benchmarks/results``. Keys lead from the top of the file to rows,
each a dict from columns to numbers or text; lists of rows are joined. A row that holds
a list or a dict is not for the table. Cells read as in the table that the script
prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.parsers.rst.directives.tables import ListTable
from sphinx.util.docutils import SphinxDirective

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from common import cell  # noqa: E402


def rows_in(found: Any) -> list[dict[str, Any]]:
    """Return the rows of a table, in order, from lists within lists."""
    if isinstance(found, list):
        return [row for part in found for row in rows_in(part)]
    if any(isinstance(value, list | dict) for value in found.values()):
        return []
    return [found]


class Results(SphinxDirective, ListTable):
    """A table of figures.

    The option ``columns`` names those to show, with ``|`` between them; without it all
    are shown, in the order of the rows' keys.
    """

    required_arguments = 2
    optional_arguments = 0
    final_argument_whitespace = True
    has_content = False
    option_spec = {"caption": directives.unchanged, "columns": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        name, keys = self.arguments
        path = BENCHMARKS / "results" / name
        self.env.note_dependency(str(path))
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            for key in keys.split("/"):
                found = found[key]
        except (OSError, KeyError) as error:
            raise self.error(f"No {keys} in {path.name}: {error!r}.") from None
        rows = rows_in(found)
        present = list(dict.fromkeys(key for row in rows for key in row))
        columns = present
        if "columns" in self.options:
            columns = [column.strip() for column in self.options["columns"].split("|")]
        unknown = sorted(set(columns) - set(present))
        if unknown or not rows:
            raise self.error(
                f"{keys} in {path.name} has the columns {present}, not {unknown}."
            )
        cells = [columns, *([cell(row.get(key)) for key in columns] for row in rows)]
        self.options["widths"] = "auto"
        table = self.build_table_from_list(
            [[[nodes.paragraph("", text)] for text in line] for line in cells],
            col_widths=[1] * len(columns),
            header_rows=1,
            stub_columns=0,
        )
        if "caption" in self.options:
            table.insert(0, nodes.title("", self.options["caption"]))
        return [table]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("results", Results)
    return {"parallel_read_safe": True}
