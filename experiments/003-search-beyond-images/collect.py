"""One table of all that evaluate.py wrote: python collect.py OUT, a folder of its JSON files; writes results.csv."""

import csv
import json
import sys
from pathlib import Path

lines = []
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    found = json.loads(path.read_text(encoding="utf-8"))
    for name in ("precision_at_1", "precision_at_10", "map_at_r"):
        low, high = found["low"][name], found["high"][name]
        values = {"mean": found["metrics"][name], "low": low, "high": high, "chance": found["chance"][name]}
        lines.append(
            {
                "run": path.stem,
                "asked": "image",
                "how": "plain",
                "figure": name,
                "queries": found["queries"],
                **values,
            }
        )
    for asked, table in found["queries_by"].items():
        for line in table:
            for figure, values in line["figures"].items():
                about = {"run": path.stem, "asked": asked, "how": line["name"], "figure": figure}
                lines.append(
                    {**about, "queries": line["queries"], **values, "chance": line["chance"].get(figure)}
                )
with Path(__file__).with_name("results.csv").open("w", newline="", encoding="utf-8") as file:
    table = csv.DictWriter(file, list(lines[0]))
    table.writeheader()
    for line in lines:
        table.writerow(
            {key: round(value, 4) if isinstance(value, float) else value for key, value in line.items()}
        )
