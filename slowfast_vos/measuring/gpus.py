"""Whether jobs need a GPU; asked without importing torch, since every parse of the Snakefile asks."""

from __future__ import annotations


def count_gpus() -> int:
    """NVIDIA GPUs of this machine, by NVML; 0 where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()


def gpus_per_job(device: str) -> int:
    """GPUs that a training job asks for: one for "cuda", and for "auto" where there is one."""
    return int(device == "cuda" or (device == "auto" and count_gpus() > 0))
