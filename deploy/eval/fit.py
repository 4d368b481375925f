#!/usr/bin/env python3
"""Fits the calibration: `frontdesk eval deploy/demo --features FILE`, then `fit.py FILE...`, which prints Rust.

Logistic regression with a small ridge, by Newton's method, on every second question of each language; the others are held
out. The bias is then moved so that the defaults mean something: session.abstain_below is where a twentieth of the fitted
answerable questions is lost, session.faq_confidence lies above every wrong curated answer of the fitted half.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

FLOOR, CURATED = 0.5, 0.9
LOST = 0.05  # share of the answerable questions that may be abstained from
RIDGE = 0.05
MARGIN = 0.25
# Signs that are known beforehand: no evidence for a match may count against it.
NON_NEGATIVE = True


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def newton(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge logistic regression; a feature whose weight would be negative is left out."""
    used = list(range(x.shape[1]))
    while True:
        a = np.hstack([np.ones((len(x), 1)), x[:, used]])
        ridge = RIDGE * np.eye(a.shape[1])
        ridge[0, 0] = 1e-6
        w = np.zeros(a.shape[1])
        for _ in range(50):
            p = 1 / (1 + np.exp(-np.clip(a @ w, -30, 30)))
            gradient = a.T @ (weights * (p - y)) + ridge @ w
            hessian = (a * (weights * p * (1 - p))[:, None]).T @ a + ridge
            w -= np.linalg.solve(hessian, gradient)
        if not NON_NEGATIVE or (w[1:] >= 0).all():
            full = np.zeros(x.shape[1] + 1)
            full[0] = w[0]
            full[[at + 1 for at in used]] = w[1:]
            return full
        used.remove(used[int(np.argmin(w[1:]))])


def odds(rows: list[dict], w: np.ndarray) -> np.ndarray:
    return np.array([r["features"] for r in rows]) @ w[1:] + w[0] if rows else np.zeros(0)


def fit(rows: list[dict]) -> np.ndarray:
    x = np.array([r["features"] for r in rows])
    y = np.array([r["right"] for r in rows], float)
    balance = np.where(y > 0, 0.5 / max(y.sum(), 1), 0.5 / max((1 - y).sum(), 1)) * len(y)
    return newton(x, y, balance)


def floor(right: np.ndarray) -> float:
    """The log-odds below which LOST of the answerable questions are."""
    return float(np.quantile(right, LOST))


def rust(w: np.ndarray) -> str:
    return f"Logistic {{ bias: {w[0]:.2f}, weights: [{', '.join(f'{x:.2f}' for x in w[1:])}] }}"


def main():
    for file in sys.argv[1:]:
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        print(f"// {file}")
        for lang in ("zh", "en"):
            questions = list(dict.fromkeys(r["question"] for r in rows if r["lang"] == lang))
            part = {q: at % 2 for at, q in enumerate(questions)}
            for curated in (False, True):
                here = [r for r in rows if r["lang"] == lang and r["curated"] == curated]
                known, held = ([r for r in here if part[r["question"]] == p] for p in (0, 1))
                w = fit(known)
                right = lambda some: odds([r for r in some if r["right"]], w)
                wrong = lambda some: odds([r for r in some if not r["right"]], w)
                if curated:
                    # Above every wrong one of the fitted half, by part of their spread: the held-out ones are others.
                    w[0] += logit(CURATED) - (wrong(known).max() + MARGIN * np.std(wrong(known)))
                    at = logit(CURATED)
                else:
                    w[0] += logit(FLOOR) - floor(right(known))
                    at = logit(FLOOR)
                for name, some in (("fitted", known), ("held out", held)):
                    r, n = right(some), wrong(some)
                    print(f"// {lang} {'curated' if curated else 'passages'} {name}: {(r >= at).sum()} of {len(r)} right kept, {(n >= at).sum()} of {len(n)} wrong kept")
                print(f"{lang} {'faq' if curated else 'passages'}: {rust(w)},")


if __name__ == "__main__":
    main()
