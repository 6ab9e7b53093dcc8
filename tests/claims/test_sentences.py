"""Sentences are made of a finding's numbers: other numbers, other words."""

from __future__ import annotations

from slowfast_vos.claims.sentences import headline, sentence
from test_verdicts import BETTER, cells, of_kind, verdict


def test_a_clear_gain_in_words() -> None:
    found = verdict(BETTER, cells(s1_1=0, s3_3=0.1))
    low, high = found.contrast.estimate.interval()
    assert sentence(found) == (
        f"3-3 − 1-1: {found.contrast.estimate.mean:+.3f} [{low:+.3f}, {high:+.3f}] J&F, "
        "above 0 on 8 of 8 sequences, 3 seeds (Holm p < 0.001)."
    )


def test_a_loss_in_words() -> None:
    words = sentence(verdict(BETTER, cells(s1_1=0, s3_3=-0.1)))
    assert words.startswith("3-3 − 1-1: −0.10")
    assert "above 0 on 0 of 8 sequences" in words


def test_noise_in_words() -> None:
    words = sentence(verdict(BETTER, cells(noise=0.1, s1_1=0, s3_3=0.08)))
    assert words.startswith("3-3 − 1-1: +0.0")
    assert "is shown at p < 0.05 (Holm). This run finds differences from 0.0" in words
    assert "It would take" in words


def test_a_difference_within_the_margin_in_words() -> None:
    """More seeds would not help a run that finds the margin: there is nothing that it would take."""
    found = verdict(BETTER, cells(noise=0.026, s1_1=0, s3_3=0.024))
    assert found.contrast.estimate.detectable(found.level) < 0.02
    assert (found.verdict, found.needs) == ("undecided", "")
    assert sentence(found).endswith("from 0.016 on: this one lies between 0 and the margin, too near to both.")
    assert headline([found]) == "Of 1 claim: 1 undecided."


def test_one_seed_in_words() -> None:
    words = sentence(verdict(BETTER, cells(1, 8, s1_1=0, s3_3=0.3)))
    assert "1 seed. 1 of the 3 seeds that a verdict takes. These trainings and videos alone would support it." in words
    assert "Holm" not in words


def test_what_is_missing_in_words() -> None:
    words = sentence(verdict(of_kind("as good for less"), cells(s1_1=0, s3_3=0)))
    assert "As good; its cost was not measured." in words


def test_the_headline_counts_verdicts() -> None:
    clear, noise = verdict(BETTER, cells(s1_1=0, s3_3=0.1)), verdict(BETTER, cells(1, 2, s1_1=0, s3_3=0.1))
    words = "Of 3 claims: 1 supported, 2 undecided. Most would take at least 3 seeds and 6 sequences."
    assert headline([clear, noise, noise]) == words
    assert headline([clear, noise]) == "Of 2 claims: 1 supported, 1 undecided."
    assert headline([clear]) == "Of 1 claim: 1 supported."
