"""Findings in words: every sentence of a report is made here from a finding's numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from slowfast_vos.claims.intervals import Estimate
from slowfast_vos.claims.verdicts import Contrast, Finding


def signed(value: float) -> str:
    """A difference with its sign, three digits."""
    return "unknown" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def interval(one: Estimate) -> str:
    """A 95 % interval in brackets; nothing where there is none."""
    return "" if math.isnan(one.error) else f"[{', '.join(map(signed, one.interval()))}]"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def p_value(value: float | None) -> str:
    """An adjusted p value, as papers write it."""
    if value is None:
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def sentence(found: Finding) -> str:
    """What a verdict rests on, and what is lacking where there is none."""
    parts = []
    if found.contrast is not None:
        parts.append(_measured(found, found.contrast))
    if found.reason:
        parts.append(f"{found.reason[0].upper()}{found.reason[1:]}.")
    if found.leaning is not None:
        words = {"supported": "support it", "contradicted": "contradict it", "undecided": "leave it open"}
        parts.append(f"These trainings and videos alone would {words[found.leaning]}.")
    elif found.verdict == "undecided" and found.contrast is not None and not math.isnan(found.contrast.estimate.error):
        finds = f"This run finds differences from {found.contrast.estimate.detectable(found.level):.3f} on"
        lacks = f". It would take {found.needs} to find the margin."
        parts.append(finds + (lacks if found.needs else ": this one lies between 0 and the margin, too near to both."))
    elif found.needs:
        parts.append(f"It would take {found.needs}.")
    return " ".join(parts)


def _measured(found: Finding, contrast: Contrast) -> str:
    one = contrast.estimate
    words = " ".join(filter(None, [f"{contrast.label}: {signed(one.mean)}", interval(one), "J&F"]))
    if found.rivals > 1:
        what = "The largest" if found.claim.kind == "alike" else "The least favourable"
        words = f"{what} of {found.rivals} differences, {words}"
    if one.variances is not None:
        words += f", above 0 on {contrast.wins} of {counted(contrast.values.shape[1], 'sequence')}"
    words += f", {counted(one.seeds, 'seed')}"
    deciding = found.p_against if found.verdict == "contradicted" else found.p_for
    return words + (f" (Holm {p_value(deciding)})." if found.verdict != "undecided" else ".")


def headline(findings: Sequence[Finding]) -> str:
    """How many of the claims have which verdict, and what most of them lack."""
    counts = Counter(one.verdict for one in findings)
    parts = [
        f"{counts[verdict]} {verdict}" for verdict in ("supported", "contradicted", "undecided") if counts[verdict]
    ]
    words = f"Of {counted(len(findings), 'claim')}: {', '.join(parts)}."
    needs = Counter(one.needs for one in findings if one.verdict == "undecided" and one.needs).most_common(1)
    if needs and 2 * needs[0][1] > len(findings):
        words += f" Most would take {needs[0][0]}."
    return words
