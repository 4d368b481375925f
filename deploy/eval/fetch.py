#!/usr/bin/env python3
"""Fetches InsuranceQA (Chinese and English) and writes it as folders that `frontdesk eval` reads.

The corpus is for research only and is never part of this repository. It comes as the PyPI package insuranceqa-data 1.2,
through the machine's own pip, and is checked by its SHA-256.
"""

import argparse
import ast
import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "insuranceqa-data==1.2"
ARCHIVE = "insuranceqa_data-1.2.tar.gz"
SHA256 = "3e1eaa2a8cc3a785b059d52f473c0e7280ba5de045a300701cb731a8b8cb16b3"
LANGUAGES = ("zh", "en")
FIRST, SMALL = 200, 1340  # the small pool: the first questions, and this many answers


class FetchError(Exception):
    """The corpus cannot be had; the text says why."""


def download(into: Path) -> Path:
    """The package's archive, checked."""
    archive = into / ARCHIVE
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", str(into), PACKAGE]
        if subprocess.run(command).returncode or not archive.exists():
            raise FetchError(f"pip could not download {PACKAGE}")
    with archive.open("rb") as data:
        if hashlib.file_digest(data, "sha256").hexdigest() != SHA256:
            archive.unlink()
            raise FetchError(f"{archive.name} is not the file that was measured (SHA-256), deleted")
    return archive


def load(archive: Path, name: str) -> dict:
    """One of the package's JSON files."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"insuranceqa_data-1.2/insuranceqa_data/{name}.json.gz")
        return json.loads(gzip.decompress(member.read()))


def wrong_answers(question: dict) -> list[str]:
    """Answers to other questions that share words with this one; the package writes the list as a string."""
    wrong = question["negatives"]
    return ast.literal_eval(wrong) if isinstance(wrong, str) else wrong


def pools(questions: list[dict]) -> dict[str, tuple[list[dict], list[str]]]:
    """Questions and the answers among which theirs are looked for.

    `small`: as many answers as there are to the questions in order, until there are SMALL, and those questions.
    `hard`: the first questions, their answers, and wrong ones that share words with them, in turn, until there are SMALL.
    `large`: every question of the split and every answer to one.
    """
    right = lambda some: list(dict.fromkeys(answer for question in some for answer in question["answers"]))
    small = right(questions)[:SMALL]
    kept = set(small)
    hard = dict.fromkeys(right(questions[:FIRST]))
    for rank in range(len(wrong_answers(questions[0]))):
        for question in questions[:FIRST]:
            if len(hard) < SMALL:
                hard.setdefault(wrong_answers(question)[rank])
    return {
        "small": ([q for q in questions if kept.issuperset(q["answers"])], small),
        "hard": (questions[:FIRST], list(hard)),
        "large": (questions, right(questions)),
    }


def write(folder: Path, questions: list[dict], answers: list[str], texts: dict, lang: str):
    """A folder that `frontdesk eval` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    line = lambda value: json.dumps(value, ensure_ascii=False) + "\n"
    plain = lambda text: " ".join(text.split())
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(line({"document": a, "text": plain(texts[a][lang])}) for a in answers)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as out:
        for q in questions:
            right = [{"document": answer} for answer in q["answers"]]
            out.write(line({"question": plain(q[lang]), "lang": lang, "answers": right}))


def main() -> int:
    """Reads the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write; a folder that git ignores, such as target/insuranceqa")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        archive = download(args.folder)
    except FetchError as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    texts = load(archive, "answers")
    for split in ("valid", "test"):
        questions = list(load(archive, split).values())
        for pool, (asked, answers) in pools(questions).items():
            for lang in LANGUAGES:
                write(args.folder / f"{split}-{pool}-{lang}", asked, answers, texts, lang)
    return 0


if __name__ == "__main__":
    sys.exit(main())
