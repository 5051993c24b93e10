"""The engine `ray` on a cluster of two nodes (extra `ray`, installed by `make .venv/ray`: it is as large as TensorFlow)."""

import functools
import gc
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from test_engines import deadly, faulty, killer, pipeline, square  # noqa: F401

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'textpipe[ray]'")

import test_engines
from ray._private.utils import publish_error_to_driver
from test_tune import prepared, project  # noqa: F401

from textpipe.cli import main
from textpipe.engines import ray as engine_module
from textpipe.errors import DataError, ResourceError

pytestmark = pytest.mark.filterwarnings(  # Ray's own
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    engine = engine_module.Ray(engine_module.Config(address=cluster.address))
    engine.connect()
    yield cluster
    engine.close()
    cluster.shutdown()
    gc.collect()  # sockets that Ray leaves open


@pytest.fixture
def engine(cluster):
    engine = engine_module.open(engine_module.Config())
    yield engine
    engine.close()


def node(folder, count):
    """The node of an item; the first items wait until workers on `count` nodes have one."""

    def run(item):
        name = ray.get_runtime_context().get_node_id()
        (folder / name).touch()
        while len(list(folder.iterdir())) < count:
            time.sleep(0.05)
        return name

    return run


def test_shards_run_on_both_nodes_in_order(engine, tmp_path):
    assert list(engine.map(square, range(20))) == [number**2 for number in range(20)]
    assert engine.scheduler.size == 2
    assert len(set(engine.map(functools.partial(node, tmp_path, 2), range(20)))) == 2


def test_a_stage_on_ray_writes_the_bytes_of_inline(cluster, pipeline):  # noqa: F811
    assert test_engines.digests(pipeline, "ray") == test_engines.digests(pipeline, "inline")


def test_the_shard_of_a_killed_actor_runs_again(engine, tmp_path):
    results = list(engine.map(functools.partial(killer, tmp_path), range(12)))
    assert results == [number**2 for number in range(12)]


def test_the_shards_of_a_lost_node_run_on_the_others(cluster, engine, tmp_path):
    extra = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    engine.config = engine_module.Config(workers=3)
    results = engine.map(functools.partial(node, tmp_path, 3), range(60))
    nodes = [next(results) for _ in range(6)]
    cluster.remove_node(extra, allow_graceful=False)
    nodes += results
    assert len(nodes) == 60
    assert len(set(nodes)) == 3


def test_what_ray_tells_is_logged_and_not_printed_among_results(cluster, caplog, capfd):
    publish_error_to_driver("node", "node 7 has been lost", gcs_client=ray._private.worker.global_worker.gcs_client)
    until = time.monotonic() + 30
    while "ray: node 7 has been lost" not in caplog.messages and time.monotonic() < until:
        time.sleep(0.1)
    assert "ray: node 7 has been lost" in caplog.messages
    assert capfd.readouterr().out == ""


def test_errors_of_shards_and_of_actors_that_keep_dying(engine):
    with pytest.raises(DataError, match="row 2: damaged"):
        list(engine.map(faulty, range(9)))
    with pytest.raises(ResourceError, match="ended one after another"):
        list(engine.map(deadly, range(2)))


def test_a_command_runs_on_the_cluster(engine, tmp_path):
    words = [sys.executable, "-c", "import os, sys; print(os.environ['X'], flush=True); sys.exit(3)"]
    assert engine.start(words, {"X": "here"}, tmp_path / "log").wait(200) == 3
    assert (tmp_path / "log").read_text() == "here\n"
    process = engine.start([sys.executable, "-c", "input = __import__('time').sleep(600)"], {}, tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.send_signal(signal.SIGTERM)  # also before its machine has started it
    assert process.wait(200) == -signal.SIGTERM


def test_bulk_on_ray_writes_the_file_of_inline_though_an_actor_is_killed(cluster, classifier, tmp_path, monkeypatch):
    lines = [f"could you send the plan {number}" for number in range(5000)]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["bulk", str(classifier["export"] / "model"), str(tmp_path / "in.txt")]
    assert CliRunner().invoke(main, [*command, str(tmp_path / "inline.jsonl")]).exit_code == 0
    submit, submitted = engine_module.RayLauncher.submit, []

    def submit_and_kill(launcher, worker, job, item):
        submit(launcher, worker, job, item)
        submitted.append(item)
        if len(submitted) == 3:
            ray.kill(worker.actor)

    monkeypatch.setattr(engine_module.RayLauncher, "submit", submit_and_kill)
    done = CliRunner().invoke(main, [*command, str(tmp_path / "ray.jsonl"), "--engine", "ray"])
    assert done.exit_code == 0, done.output
    assert len(submitted) == 6 and len(set(submitted)) == 5  # of five chunks, one again
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "inline.jsonl").read_bytes()


def test_workers_of_a_study_run_on_the_cluster(cluster, project):  # noqa: F811
    file = project({"model.l2": [0.1, 1.0]}, sampler="grid", trials=2)
    done = CliRunner().invoke(main, ["tune", file, "--workers", "2", "--engine", "ray", "--no-test", "--json", "-q"])
    assert done.exit_code == 0, done.output
    table = json.loads(done.stdout)  # Ray may warn on standard error of the node lost above
    assert sorted(trial["settings"]["model.l2"] for trial in table["trials"]) == [0.1, 1.0]
    assert {trial["state"] for trial in table["trials"]} == {"complete"}


def test_workers_occupy_cpus_and_gpus_of_the_cluster(cluster):
    half = engine_module.open(engine_module.Config(cpus=0.5, gpus=0))
    try:
        list(half.map(square, range(3)))
        assert half.scheduler.size == 2 * int(ray.cluster_resources()["CPU"])
    finally:
        half.close()
    assert engine_module.resources(engine_module.Config(cpus=2, gpus=1)) == {"num_cpus": 2, "num_gpus": 1}


def test_no_cluster_at_the_address_is_a_message():
    script = "from textpipe.engines import ray; list(ray.open(ray.Config(address='127.0.0.1:1')).map(int, []))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RAY_ADDRESS": ""},
    )
    assert "no Ray cluster answers" in done.stderr.splitlines()[-1]
