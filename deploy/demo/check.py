#!/usr/bin/env python3
"""Checks the demo knowledge base: `python3 check.py` exits 1 and names everything that is wrong."""
import csv
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LANGUAGES = ("zh", "en")


def read_faq(path, problems):
    """Passages of one FAQ file (question and answer of a row), reporting malformed rows."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    if header != ["question", "answer"]:
        problems.append(f"{path.name}: header is {header}, expected question,answer")
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not all(cell.strip() for cell in row):
            problems.append(f"{path.name}: row {number} needs a question and an answer: {row}")
    return ["\n".join(row) for row in rows]


def repeated(items):
    return sorted({item for item in items if items.count(item) > 1})


def check():
    problems, passages = [], {}
    for lang in LANGUAGES:
        passages[f"faq-{lang}.csv"] = read_faq(HERE / f"faq-{lang}.csv", problems)
    faq = [row for rows in passages.values() for row in rows]
    if len(faq) < 40:
        problems.append(f"FAQ: {len(faq)} entries, expected at least 40")
    problems += [f"FAQ: asked twice: {q}" for q in repeated([row.split("\n")[0] for row in faq])]
    for path in (HERE / "docs").glob("*.md"):
        passages[path.name] = path.read_text(encoding="utf-8").splitlines()

    lines = (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    for lang in LANGUAGES:
        if (count := sum(q["lang"] == lang for q in questions)) != 20:
            problems.append(f"questions.jsonl: {count} questions in {lang}, expected 20")
    problems += [f"questions.jsonl: twice: {q}" for q in repeated([q["question"] for q in questions])]
    for question in questions:
        if not question["answers"]:
            problems.append(f"questions.jsonl: no answer listed for {question['question']}")
        for answer in question["answers"]:
            hits = sum(answer["contains"] in text for text in passages.get(answer["document"], []))
            if hits != 1 or len(answer["contains"]) >= 60:
                problems.append(f"{answer['document']}: {answer['contains']!r} is in {hits} passages, expected 1, under 60 characters")
    return problems


if __name__ == "__main__":
    found = check()
    print("\n".join(found) or "demo knowledge base: ok")
    sys.exit(bool(found))
