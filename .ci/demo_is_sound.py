"""Reads what `arbitrade demo --json` printed; exit code 1 and a reason when the demo did not do its work."""

import json
import sys

whole = json.load(sys.stdin)
problems = [
    reason
    for reason, wrong in (
        ("no frame arrived", whole["frames"] == 0),
        (f"{whole['checksums_bad']} checksums are wrong", whole["checksums_bad"] != 0),
        ("no checksum was right", whole["checksums_ok"] == 0),
        (f"the ledger is not consistent: {whole['ledger_problems']}", whole["ledger_consistent"] is not True),
        ("no cycle was completed", whole["cycles_completed"] < 1),
    )
    if wrong
]
if problems:
    sys.exit(f"the demo is not sound: {'; '.join(problems)}\n{json.dumps(whole, indent=2)}")
print(
    f"{whole['frames']} frames, {whole['checksums_ok']} checksums right, "
    f"{whole['cycles_completed']} cycles completed, decision p50 {whole['decision_us']['p50']} us"
)
