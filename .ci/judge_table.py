"""Adds up what the shards of the judge found: a table per folder, held against .ci/judge-floor.

Usage: judge_table.py REPORT...   (what `conform.py check --quiet` prints; it counts answers that it never got to as wrong)
Exit code 1 when a folder has fewer right answers (wording aside) than its line in .ci/judge-floor, or no answers at all,
and when a report is without its end.
"""
import pathlib
import re
import sys

ROW = re.compile(r"(\S+) +(\d+) of +(\d+) exchanges .* (\d+) more but for wording")
END = re.compile(r"\d+ of \d+ cases whole")

tally = {}
below = []
for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text()
    lines = text.splitlines()
    if not lines or not END.fullmatch(lines[-1]):
        below.append(f"{name}: the judge broke off\n{text}")
    for row in filter(None, map(ROW.fullmatch, lines)):
        sums = tally.setdefault(row[1], [0, 0, 0])
        for column in range(3):
            sums[column] += int(row[column + 2])

floor = {}
for line in pathlib.Path(__file__).with_name("judge-floor").read_text().splitlines():
    if line and not line.startswith("#"):
        folder, percent = line.split()
        floor[folder] = float(percent)
        tally.setdefault(folder, [0, 0, 0])

for folder, (right, played, wording) in sorted(tally.items(), key=lambda row: (row[0] == "all", row)):
    but_wording = 100 * (right + wording) / max(played, 1)
    print(f"{folder:12} {right:6} of {played:6} right {100 * right / max(played, 1):6.1f} %   but for wording {but_wording:6.1f} %")
    if but_wording < floor.get(folder, 0):
        below.append(f"{folder}: {but_wording:.1f} % is below its floor of {floor[folder]} %")
print("\n".join(below))
sys.exit(1 if below else 0)
