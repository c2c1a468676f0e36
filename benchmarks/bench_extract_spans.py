"""Extracting spans: time against pympi reading the same files, and memory against the number of sessions.

Run ``python benchmarks/bench_extract_spans.py [--sessions 10000]``. The files are synthetic; every measurement runs in
a process of its own, and the ratio is taken within the run, on a tenth of the sessions.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from attune.annotation import extraction
from attune.annotation.protocol import Protocol

ANNOTATORS = ("ew", "kb")
SPANS = 60  # per file, besides the tasks
TASK_MS = 400_000
PROTOCOL = Protocol.model_validate(
    {
        "first_date": "2022-01-01",
        "last_date": "2022-12-31",
        "sessions": "s[0-9]{5}",
        "annotators": list(ANNOTATORS),
        "tasks": ["people", "eggs", "drums"],
        "variables": {
            "attending": {"values": ["attending", "excited"]},
            "participating": {"values": ["self", "joint"]},
        },
    }
)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" DATE="2022-03-01T12:00:00+00:00" '
SCHEMA = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="EAFv3.0.xsd"'


def document(rng: random.Random) -> str:
    """One annotator's coding: three tasks and alternating spans on two tiers."""
    tiers: dict[str, list[tuple[int, int, str]]] = {
        "task": [(i * (TASK_MS + 5000), i * (TASK_MS + 5000) + TASK_MS, name) for i, name in enumerate(PROTOCOL.tasks)]
    }
    for name, variable in PROTOCOL.variables.items():
        borders = sorted(rng.sample(range(3 * TASK_MS), SPANS))
        tiers[name] = [
            (start, end, rng.choice(variable.values)) for start, end in zip(borders[::2], borders[1::2], strict=True)
        ]
    slots, body, count = [], [], 0
    for name, spans in tiers.items():
        body.append(f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{name}">\n')
        for start, end, value in spans:
            count += 1
            slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{2 * count}" TIME_VALUE="{start}"/>\n')
            slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{2 * count + 1}" TIME_VALUE="{end}"/>\n')
            body.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{count}" TIME_SLOT_REF1="ts{2 * count}" '
                f'TIME_SLOT_REF2="ts{2 * count + 1}"><ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
            )
        body.append("</TIER>\n")
    return (
        f'{HEAD}FORMAT="3.0" VERSION="3.0" {SCHEMA}>\n<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>\n'
        f"<TIME_ORDER>\n{''.join(slots)}</TIME_ORDER>\n{''.join(body)}"
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


def write(folder: Path, sessions: int) -> None:
    """Write the files of that many sessions."""
    rng = random.Random(0)
    folder.mkdir()
    for session in range(sessions):
        for annotator in ANNOTATORS:
            (folder / f"s{session:05}_{annotator}_20220301.eaf").write_text(document(rng), encoding="utf-8")


def extract(folder: Path) -> None:
    """What the stage does."""
    out = folder.parent / "out"
    extraction.extract(folder, PROTOCOL, {}, out / "spans.csv", out / "tabs")


def read_with_pympi(folder: Path) -> None:
    """Read the times and values of the same files with pympi, without any check."""
    import pympi

    warnings.simplefilter("ignore")
    for path in sorted(folder.iterdir()):
        document = pympi.Elan.Eaf(str(path))
        for name in document.get_tier_names():
            document.get_annotation_data_for_tier(name)


WORK = {"extract": extract, "pympi": read_with_pympi}


def measure(work: str, folder: Path) -> tuple[float, float]:
    """Seconds (without the start of the interpreter) and peak memory in MB of one kind of work in a fresh process."""
    command = [sys.executable, __file__, "--work", work, "--folder", str(folder)]
    seconds, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(kilobytes) / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        start = time.perf_counter()
        WORK[arguments.work](arguments.folder)
        print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    with tempfile.TemporaryDirectory() as name:
        few, many = max(1, arguments.sessions // 10), arguments.sessions
        write(Path(name) / "few", few)
        write(Path(name) / "many", many)
        few_seconds, few_mb = measure("extract", Path(name) / "few")
        pympi_seconds, _ = measure("pympi", Path(name) / "few")
        seconds, many_mb = measure("extract", Path(name) / "many")
        spans = many * len(ANNOTATORS) * (SPANS + len(PROTOCOL.tasks))
    print(f"extract_spans, {many} sessions, {spans} spans: {1000 * seconds / spans:.4f} s per 1,000 spans")
    print(f"  {few_seconds / pympi_seconds:.2f} times pympi reading {few} sessions unchecked ({pympi_seconds:.1f} s)")
    print(f"  peak memory {many_mb:.0f} MB; with {few} sessions {few_mb:.0f} MB")


if __name__ == "__main__":
    main()
