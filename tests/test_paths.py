"""Paths say what they hold; every configuration has its own."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from slowfast_vos.config import Settings, parse_settings
from slowfast_vos.dag import planned_jobs
from slowfast_vos.paths import Results, shard


def settings(**values: Any) -> Settings:
    return parse_settings({"name": "demo", "data": {"held_out": ["bear"]}, **values}, "tests")


def test_paths_say_what_they_hold() -> None:
    results = Results(settings())
    path = results.grid("3-7", "SF", "0.25", "0.001", 63)
    assert path == Path("results/demo/grid/3-7/freeze=SF/scale=0.25/lr=0.001/seed=63.json")
    assert results.log("tables") == Path("logs/demo/tables.log")
    assert results.log("tuning", "1-7", "lr=0.05", seed=63) == Path("logs/demo/tuning/1-7/lr=0.05/seed=63.log")
    path = results.log("grid", "3-7", seed="{seed}", part=(0, 2))
    assert path == Path("logs/demo/grid/3-7/seed={seed}.part=1-of-2.log")


def test_the_grid_is_complete_and_each_configuration_comes_once() -> None:
    results = Results(settings())
    points = results.configurations()
    scales, rates = ("0", "0.25", "0.4"), ("0.0001", "0.0005", "0.001", "0.005")
    assert sorted(points) == sorted(product(("none", "SF", "BB_SF"), scales, rates))
    paths = {results.grid(setup, *point, 63) for setup in results.settings.setups for point in points}
    assert len(paths) == 5 * 36
    assert sorted(results.tunings()) == sorted(product(["3-7"], ("frozen", "trained"), ("0.0001", "0.001", "0.005")))


def test_no_two_jobs_share_a_log_or_an_output() -> None:
    results = Results(settings(seeds=[1, 2]))
    jobs = planned_jobs(results, val=["bear", "dog"])
    paths = [path for job in jobs for path in job.outputs]
    assert len(set(paths)) == len(paths)
    assert len({job.log for job in jobs}) == len(jobs)
    # What lets a job resume lies apart from what Snakemake deletes.
    work = {results.work(path) for job in jobs if job.recorded for path in job.outputs}
    assert len(work) == sum(len(job.outputs) for job in jobs if job.recorded)
    assert all(path.is_relative_to("results/demo/work") for path in work)


def test_the_first_seed_alone_is_searched_where_that_is_asked() -> None:
    for asked, seeds in (("all", {1, 2}), ("first", {1})):
        jobs = planned_jobs(Results(settings(seeds=[1, 2], search_seeds=asked)), val=["bear", "dog"])
        for kind in ("tuning", "grid", "selected"):
            assert {job.seed for job in jobs if job.kind == kind} == seeds
        assert {job.seed for job in jobs if job.kind == "final"} == {1, 2}


@given(st.lists(st.integers(), max_size=40), st.integers(1, 50))
def test_shards_are_even_and_together_everything_in_order(items: list[int], count: int) -> None:
    parts = [shard(items, index, count) for index in range(count)]
    assert [item for part in parts for item in part] == items
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
