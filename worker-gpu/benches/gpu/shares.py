"""Prints what `frontdesk bench engine --json FILE` measured, beside the limit: shares.py FILE MODEL CONTEXT."""

import json
import statistics
import sys

import limits


def main():
    file, name, context = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(file) as opened:
        rows = json.load(opened)["figures"]
    base = name.removesuffix("-int4")
    for row in rows:
        sequences, _, what = row["name"].partition(" at once: ")
        if what == "decode" and row["ours"]:
            rate = statistics.median(sample["value"] for sample in row["ours"])
            limits.report("frontdesk", base, int(sequences), context, rate, name != base)


if __name__ == "__main__":
    main()
