"""The parts of README.md on turned films, many readers at a time, memory, processes that are killed, odd files."""

import json
from typing import Any

from cxr.settings import ROOT


def turned_films() -> str:
    """What a verdict is worth on films that lie wrong."""
    measured = _read("turned_films")
    lines = [
        f"| {measured['films']} films of {measured['patients']} held-out patients | AUROC abnormal | difference | macro-AUROC | of 100 abnormal flagged | of 100 others flagged |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name, found in measured["ways"].items():
        change = found["change"]
        difference = (
            f"{change['value']:+.3f} ({change['low']:+.3f} to {change['high']:+.3f})" if name != "upright" else ""
        )
        lines.append(
            f"| {name} | {found['abnormal_auroc']:.3f} | {difference} | {found['macro_auroc']:.3f} "
            f"| {100 * found['sensitivity']:.0f} | {100 * (1 - found['specificity']):.0f} |"
        )
    return "\n".join(lines)


def under_load() -> str:
    """Twenty readers, three thousand films, hundreds of kills, an hour of odd files."""
    return "\n\n".join([_load(_read("load")), _memory(_read("memory")), _kills(_read("kill")), _fuzz(_read("fuzz"))])


def _load(found: dict[str, Any]) -> str:
    one, alone = found["seconds to verdict, one film dropped"], found["seconds to verdict alone"]
    return (
        f"**{found['users']} readers at a time**, who drop films without a pause for {found['seconds'] / 60:.0f} minutes over real "
        f"websockets, on {found['processors']} cores that they share with the app: {found['films read']:,} films, "
        f"{len(found['errors'])} errors, {len(found['films of others seen'])} films in another's session, "
        f"{len(found['differences from single use'])} results that differ from single use (names, probabilities, pixels). From the "
        f"drop to the verdict of a single film: median {one['median']:.1f} s, 95% within {one['p95']:.1f} s; alone "
        f"{alone['median']:.1f} s. {found['films a second']:.1f} films a second with all of them, "
        f"{found['films a second, one reader alone']:.1f} with one, {found['films a second, bare answer']:.1f} without pages "
        f"(`python -m benchmarks.load --json benchmarks/load.json`)."
    )


def _memory(found: dict[str, Any]) -> str:
    said = "; ".join(
        f"{way} {part['megabytes after the first hundred']:.0f} to {part['megabytes at the end']:.0f} MB ({100 * part['growth']:+.1f}%)"
        for way, part in found.items()
    )
    films = max(part["films"] for part in found.values())
    return (
        f"**{films:,} films through one process**, resident memory after the first hundred and at the end: {said} "
        "(`answer`: bytes to verdict without a page; session: one browser session that drops films and removes them; "
        "worklist: taken in and scored; `python -m benchmarks.memory --json benchmarks/memory.json`)."
    )


def _kills(found: dict[str, Any]) -> str:
    said = []
    for kind, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL")):
        if kind in found:
            told = found[kind]["acknowledged"]
            killed = sum(count for what, count in found[kind]["processes"].items() if what.endswith(", killed"))
            said.append(
                f"{name}: {killed} killed; {told['films']:,} films, {told['opinions']:,} opinions, {told['studies read']:,} studies read, "
                f"{told['studies deleted']:,} deletions and {told['exports']:,} exports had been acknowledged, {len(found[kind]['faults'])} faults"
            )
    return (
        "**`kill -9` at random moments** of taking in, scoring, reading, deleting and exporting, each time followed by a look at every "
        f"film, row and line of the audit trail: {'; '.join(said)} "
        "(`python -m benchmarks.kill --json benchmarks/kill.json`)."
    )


def _fuzz(found: dict[str, Any]) -> str:
    harmful = sum(not finding["refused"] for finding in found["found"])
    slow = sum(finding["file"].startswith(("slow-unit", "timeout")) for finding in found["found"])
    return (
        f"**Files that a fuzzer makes**: in {found['seconds'] / 60:.0f} minutes Atheris gave {found['files']:,} files to the readers; "
        f"{len(found['found']) - slow} made something else come out than a film or a refusal, {slow} took longer than 4 seconds; {harmful} "
        "of all these were no refusal in the app (`python -m scripts.fuzz_read_radiograph --seconds 3600 --json benchmarks/fuzz.json`)."
    )


def _read(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
