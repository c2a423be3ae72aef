"""Adds up what the shards of the judge found: a table per folder, held against .ci/judge-floor.

Usage: judge_table.py REPORT.json...   (as `conform.py check --json` writes them)
Exit code 1 when a folder has fewer right answers (wording aside) than its line in .ci/judge-floor.
"""
import json
import pathlib
import sys

tally = {}
for name in sys.argv[1:]:
    for case in json.loads(pathlib.Path(name).read_text()):
        wrong = {w["step"] for w in case["wrong"] if not w["text"]}
        wording = {w["step"] for w in case["wrong"] if w["text"]} - wrong
        row = tally.setdefault(case["case"].split("/")[0], [0, 0, 0])
        row[0] += case["exchanges"]
        row[1] += max(0, case["exchanges"] - len(wrong) - len(wording))
        row[2] += len(wording)

floor = {}
for line in pathlib.Path(__file__).with_name("judge-floor").read_text().splitlines():
    if line and not line.startswith("#"):
        folder, percent = line.split()
        floor[folder] = float(percent)

below = []
total = [sum(column) for column in zip(*tally.values())] or [0, 0, 0]
for folder, (played, right, wording) in sorted(tally.items()) + [("all", total)]:
    but_wording = 100 * (right + wording) / max(played, 1)
    print(f"{folder:12} {right:6} of {played:6} right {100 * right / max(played, 1):6.1f} %   but for wording {but_wording:6.1f} %")
    if but_wording < floor.get(folder, 0):
        below.append(f"{folder}: {but_wording:.1f} % is below its floor of {floor[folder]} %")
print("\n".join(below))
sys.exit(1 if below or not tally else 0)
