"""A real Slurm of one node, with stand-in GPUs: `python tests/cluster/one_node.py COMMAND …` runs a command beside it.

The daemons are children of this process, without systemd, cgroups or accounting. Their keys, sockets, states and logs
lie in one folder; of the system only `/etc/slurm` is written, for as long as the node is up, and only if it is free.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Where srun looks when a job step starts without SLURM_CONF, as the executor plugin's do.
ETC = Path("/etc/slurm")
MARK = "# Written by slowfast-vos's tests, for as long as they run.\n"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")

# CPUs and memory are what the jobs may ask for, not what the machine has.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=3600
KillWait=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=500000 Gres=gpu:stand-in:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""
# Every task notes which GPUs it sees, as the job itself would see them.
PROLOG = '#!/bin/sh\necho "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES:-none}}" >> {folder}/tasks\n'


class UnavailableError(RuntimeError):
    """Slurm cannot run here."""


@dataclass(frozen=True)
class Job:
    """What Slurm knows of a job."""

    number: str
    rule: str  # and its wildcards, as the executor plugin writes them into the comment
    state: str  # Slurm's, such as `COMPLETED`
    limit: str  # walltime that it asked for
    memory: str  # that it asked for
    shared: str  # "NO" where it had its node to itself
    started: str  # local times, which sort as text
    ended: str
    gpus: str  # that it asked for, such as `gres:gpu:1`; "N/A" for none
    visible: frozenset[str]  # `CUDA_VISIBLE_DEVICES` of its tasks; "none" where it names none

    def overlaps(self, other: Job) -> bool:
        """Whether both ran at one time."""
        return self.started < other.ended and other.started < self.ended


@dataclass(frozen=True)
class Node:
    """A Slurm of one node that is up."""

    folder: Path

    def jobs(self) -> list[Job]:
        """All jobs so far, in the order of their submission."""
        tasks = [line.split() for line in (self.folder / "tasks").read_text().splitlines()]
        keys = ("JobID", "Comment", "State", "TimeLimit", "MinMemory", "OverSubscribe", "StartTime", "EndTime")
        columns = ",".join(f"{key}:|" for key in (*keys, "tres-per-job"))
        jobs = []
        for row in _run("squeue", "--noheader", "--states=all", "--Format", columns).splitlines():
            number, rule, *others, _ = row.split("|")
            visible = frozenset(devices for task, devices in tasks if task == number)
            jobs.append(Job(number, rule.removeprefix("rule_"), *others, visible))
        return sorted(jobs, key=lambda job: int(job.number))

    def cancel(self, number: str) -> None:
        """Cancel a job."""
        _run("scancel", number)


@contextmanager
def one_node(folder: Path) -> Iterator[Node]:
    """A Slurm of one node below `folder` until the block ends; raises UnavailableError where it cannot run."""
    install()
    conf, gres = ETC / "slurm.conf", ETC / "gres.conf"
    if any(path.exists() and not path.read_text().startswith(MARK) for path in (conf, gres)):
        raise UnavailableError(f"{ETC} holds another Slurm's configuration")
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "tasks").touch()
    devices = [folder / f"gpu{index}" for index in range(2)]
    for device in devices:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another /dev/null
    (folder / "prolog").write_text(PROLOG.format(folder=folder))
    (folder / "prolog").chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = [f"--{kind}={folder}/munge.{kind.split('-')[0]}" for kind in ("key-file", "socket", "pid-file", "log-file")]
    munge.append(f"--seed-file={folder}/munge.seed")

    with ExitStack() as stack:
        for path in (conf, gres):
            stack.callback(path.unlink, missing_ok=True)
        conf.write_text(MARK + CONF.format(host=host, folder=folder, ports=_free_ports()))
        lines = (f"NodeName={host} Name=gpu Type=stand-in File={device}\n" for device in devices)
        gres.write_text(MARK + "".join(lines))
        stack.enter_context(_daemon(folder, "munged", "--foreground", "--force", *munge))
        _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        stack.enter_context(_daemon(folder, "slurmctld", "-D"))
        stack.enter_context(_daemon(folder, "slurmd", "-D", "-N", host))
        _wait(lambda: "idle" in _run("sinfo", "--noheader", "--format=%T", check=False), "slurmd", folder)
        try:
            yield Node(folder)
        finally:
            _run("scancel", "--user=root")
            _wait(lambda: not _run("squeue", "--noheader"), "the jobs' end", folder)


def install() -> None:
    """Install Debian's packages where they are missing, or raise UnavailableError."""
    if os.geteuid():
        raise UnavailableError("needs root")
    if all(map(shutil.which, PROGRAMS)):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = f"apt-get update && apt-get install --yes --no-install-recommends {' '.join(PACKAGES)}"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{command}: {done.stderr.strip()}")


def _run(*command: str, check: bool = True) -> str:
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=30).stdout.strip()


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        process.wait()


def _wait(done: Callable[[], bool], what: str, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            logs = "\n".join(f"{path.name}: {path.read_text()[-1000:]}" for path in sorted(folder.glob("*.log")))
            raise UnavailableError(f"waited {seconds:.0f} s for {what}\n{logs}")
        time.sleep(0.1)


def _free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return [one.getsockname()[1], other.getsockname()[1]]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, one_node(Path(temporary) / "slurm"):
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
