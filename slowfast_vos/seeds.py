"""Seeds: all randomness comes from these."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from slowfast_vos.config import Settings


def job_seed(settings: Settings, seed: int, *identity: object) -> int:
    """The seed of a job: of its own identity, or (2020 code) the run's one seed for all."""
    return seed if settings.option("seeding") == "fixed" else derived_seed(seed, *identity)


def derived_seed(seed: int, *identity: object) -> int:
    """A seed in [0, 2³¹) from another and from what it is for."""
    text = "/".join(map(str, (seed, *identity)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
