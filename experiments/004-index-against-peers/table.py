"""Writes the tables of README.md from results.csv, between its two comments.

.venv/bin/python experiments/004-index-against-peers/table.py
"""

import csv
import json
from itertools import groupby
from pathlib import Path

from contenders import CONTENDERS

HERE = Path(__file__).parent
START, END = "<!-- from results.csv -->", "<!-- end -->"
HEAD = {
    "contender": "contender", "effort": "effort", "recall_at_10": "recall@10", "recall_of_sums": "of sums",
    "cosine_error": "cosine off by", "queries_per_second": "queries/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms",
    "wall_p50_ms": "p50 ms, clock", "rss_growth_mb": "memory MB", "build_s": "build s", "open_s": "open s",
    "file_mb": "files MB", "queries": "queries",
}  # fmt: skip


def place(row: dict[str, str]) -> tuple[bool, int, int]:
    """Made data first, the smallest first, in the order of the contenders."""
    return row["data"] != "clustered", int(row["rows"]), list(CONTENDERS).index(row["contender"])


def main() -> None:
    with (HERE / "results.csv").open(newline="") as file:
        every = sorted(csv.DictReader(file), key=place)
    for row in every:
        row["effort"] = row["effort"] or str(
            json.loads(row["parameters"]).get("parameters", {}).get("effort", "")
        )
    lines: list[str] = []
    for (data, rows, dimension), group in groupby(
        every, lambda row: (row["data"], row["rows"], row["dimension"])
    ):
        lines += ["", f"**{data}, {int(rows):,} × {dimension}**", "", "| " + " | ".join(HEAD.values()) + " |"]
        lines.append("|" + "---|" * len(HEAD))
        lines += ["| " + " | ".join(row[name] for name in HEAD) + " |" for row in group]
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(START)
    after = rest.split(END)[1]
    readme.write_text(before + START + "\n" + "\n".join(lines) + "\n\n" + END + after)


if __name__ == "__main__":
    main()
