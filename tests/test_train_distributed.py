"""train_distributed: the same bytes as train, and a life that survives."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import minio
import pytest
from conftest import ROOT, SMALL, Artifacts, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.cluster import api, job
from kfp_mnist_mxnet.cluster.outcome import node_error
from kfp_mnist_mxnet.cluster.pod import command
from kfp_mnist_mxnet.compiler.step import STEPS
from kfp_mnist_mxnet.components.train_distributed import train_distributed
from kfp_mnist_mxnet.distributed import launch, processes, roles, watchdog
from kfp_mnist_mxnet.distributed.pods import Pods
from kfp_mnist_mxnet.distributed.trainer import DistributedTrainer
from kfp_mnist_mxnet.errors import InvalidInput, NodeLost, Unavailable
from kfp_mnist_mxnet.runtime.engine import mx

pytest_plugins = ["kube_server"]

# Two convolutions with normalisation, dropout and warps, so that all that is random takes part.
NETWORK = {**SMALL, "batch_size": 64, "augmentation": 1.0, "dropout": 0.3, "epochs": 2}


def files(model) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pathlib.Path(model.path).iterdir()}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict:
    made = Artifacts(tmp_path_factory.mktemp("data"))
    idx = write_idx_set(made.root / "idx", train=1000)
    return made.ingest(idx, validation_fraction=0.2)


def splits(data: dict) -> dict:
    return {name: data[name] for name in ("train_data", "validation_data")}


@pytest.mark.parametrize(("num_nodes", "threads"), [(1, 4), (2, 4), (4, 4), (3, 6)])
def test_any_number_of_nodes_gives_the_bytes_of_train(artifacts, data, num_nodes, threads):
    network = {**NETWORK, "batch_size": 16 * threads, "cpu_threads": threads, "flip": "horizontal"}
    one = artifacts.train(data, **network)
    model = artifacts.new(dsl.Model, "distributed")
    many = artifacts.run(
        train_distributed, **splits(data), **network, num_nodes=num_nodes, model=model
    )
    assert files(many["model"]) == files(one["model"])
    figures = {k: v for k, v in one["metrics"].metadata.items() if "second" not in k}
    assert figures.items() <= many["metrics"].metadata.items()


def test_a_duration_that_decides_itself_ends_alike(artifacts, tmp_path):
    # Enough validation images to end training after the first round.
    data = artifacts.ingest(write_idx_set(tmp_path / "idx", train=1000), validation_fraction=0.5)
    network = {**SMALL, "epochs": 0, "batch_size": 160}
    one = artifacts.train(data, **network)
    model = artifacts.new(dsl.Model, "distributed")
    many = artifacts.run(train_distributed, **splits(data), **network, num_nodes=2, model=model)
    assert many["metrics"].metadata["epochs"] == 20
    assert files(many["model"]) == files(one["model"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_nodes": 0}, "num_nodes must be 1 to 64, got 0"),
        ({"engine": "mpi"}, "engine must be one of job, trainer, got 'mpi'"),
        ({"engine": "trainer", "runtime": ""}, "runtime must name a TrainingRuntime"),
        ({"node_gpus": -1}, "node_gpus must be at least 0, got -1"),
        ({"node_memory": "lots"}, "node_memory must be a quantity such as .* got 'lots'"),
        ({"device": "tpu"}, "device must be auto, cpu or gpu, got 'tpu'"),
        ({"dropout": 2.0}, "dropout must be"),
    ],
)
def test_refuses_what_is_wrong_before_it_starts_a_node(artifacts, data, wrong, message):
    with pytest.raises(ValueError, match=message):
        artifacts.run(train_distributed, **splits(data), **{**NETWORK, **wrong})
    assert not (artifacts.root / "model").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 62}, "batch_size is 62, which 2 nodes can't share evenly: choose a multi"),
        ({"num_nodes": 3}, "cpu_threads is 4, which 3 nodes can't share evenly: choose a"),
        ({"kernels": [40], "filters": [2]}, r"kernels\[0\] is 40, but 12 x 12 pixels"),
    ],
)
def test_a_node_that_refuses_says_why_in_its_own_words(artifacts, data, wrong, message):
    with pytest.raises(ValueError, match=message):
        artifacts.run(train_distributed, **splits(data), **{**NETWORK, **wrong})
    assert [path.name for path in artifacts.root.rglob("model*")] == []


def test_divergence_is_the_error_of_the_step(artifacts, data):
    network = {**NETWORK, "learning_rate": 1e30, "epochs": 20}
    with pytest.raises(FloatingPointError, match=r"became nan.*: lower learning_rate, which is"):
        artifacts.run(train_distributed, **splits(data), **network, num_nodes=2)


class Killing(launch.Processes):
    """Kills a node once a checkpoint is there, as often as it is told."""

    def __init__(self, times: int) -> None:
        self.times, self.starts = times, 0

    def run(self, assignment) -> None:
        self.started: list[subprocess.Popen] = []
        self.starts += 1
        threading.Thread(target=self.kill, args=(assignment.working_uri,), daemon=True).start()
        super().run(assignment)

    def start(self, *arguments):
        self.started.append(super().start(*arguments))
        return self.started[-1]

    def kill(self, working_uri: str) -> None:
        if self.starts > self.times:
            return
        saved = pathlib.Path(working_uri, launch.CHECKPOINT)
        while len(self.started) < 2 or not saved.is_file():
            time.sleep(0.01)
        self.started[1].kill()


@pytest.fixture
def killing(monkeypatch) -> Killing:
    engine = Killing(1)
    monkeypatch.setattr(launch, "choose_engine", lambda *_: engine)
    monkeypatch.setattr(launch, "Processes", Killing)
    return engine


def test_after_the_loss_of_a_node_all_go_on_to_the_same_bytes(artifacts, data, killing):
    network = {**NETWORK, "epochs": 12}
    one = artifacts.train(data, **network)
    model = artifacts.new(dsl.Model, "distributed")
    many = artifacts.run(train_distributed, **splits(data), **network, num_nodes=2, model=model)
    assert killing.starts == 2
    assert files(many["model"]) == files(one["model"])


@pytest.mark.parametrize("first", [True, False])
def test_nodes_stop_when_the_first_one_does(first):
    """One that found another accuracy would else wait for the others for ever."""
    told = SimpleNamespace(gather=lambda rows: [mx.nd.array([first]), *rows])
    trainer = cast(DistributedTrainer, SimpleNamespace(nodes=told))
    assert DistributedTrainer.agreed(trainer, not first) is first


class Away(launch.Processes):
    """Runs the nodes, after the store was away for as many runs as it is told."""

    def __init__(self, times: int) -> None:
        self.times = times

    def run(self, assignment) -> None:
        self.times -= 1
        if self.times >= 0:
            raise Unavailable("the store does not answer")
        super().run(assignment)


def test_after_a_store_was_away_all_start_again(artifacts, data, monkeypatch):
    monkeypatch.setattr(launch, "choose_engine", lambda *_: Away(1))
    made = artifacts.run(train_distributed, **splits(data), **NETWORK, num_nodes=2)
    assert made["metrics"].metadata["epochs"] == NETWORK["epochs"]


def test_what_a_lost_node_logged_last_is_shown(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "node-1.log").write_text("".join(f"line {i}\n" for i in range(100)))
    with pytest.raises(NodeLost, match="node 2 of 2 ended with -11"):
        processes.check([watchdog.PEER_LOST, -11], tmp_path)
    assert "line 80\n" in caplog.text
    assert "line 79\n" not in caplog.text


@pytest.mark.parametrize("message", ["\ud800", "字" * 5000, '"' * 5000])
def test_any_sentence_of_a_node_arrives_within_4096_bytes(tmp_path, message):
    program = (
        "from kfp_mnist_mxnet.cluster.outcome import told_why\n"
        "from kfp_mnist_mxnet.errors import InvalidInput\n"
        f"with told_why('The node'): raise InvalidInput({message!r})"
    )
    file = tmp_path / "error.json"
    environment = {**os.environ, "ERROR_FILE": str(file), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.returncode == 1
    assert 0 < file.stat().st_size <= 4096
    assert isinstance(node_error(file.read_text(), "lost"), InvalidInput)


def test_a_node_that_is_lost_each_time_fails_the_step(artifacts, data, killing):
    killing.times = 99
    with pytest.raises(NodeLost, match="node 2 of 2 ended with -9"):
        artifacts.run(train_distributed, **splits(data), **{**NETWORK, "epochs": 50}, num_nodes=2)
    assert killing.starts == 1 + launch.RESTARTS
    assert not (artifacts.root / "model").exists()


def test_no_process_is_left_when_the_step_is_killed(artifacts, data, tmp_path):
    """Neither nodes nor the processes of the parameter server outlive it."""
    written = tmp_path / "log"
    model, report = tmp_path / "model", tmp_path / "report"
    options = [f"--train-data={data['train_data'].path}", "--num-nodes=2", "--epochs=500"]
    command = [sys.executable, "-m", "kfp_mnist_mxnet.components", "train_distributed", *options]
    command += [f"--model={model}", f"--training-report={report}"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with open(written, "wb") as log:
        step = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    until = time.monotonic() + 60
    while b"Epoch[0]" not in written.read_bytes():
        assert time.monotonic() < until
        assert step.poll() is None
        time.sleep(0.1)
    children = processes_with(f"TMPDIR={tmp_path}")
    assert len(children) >= 5  # two nodes, a scheduler, two servers
    step.send_signal(signal.SIGKILL)
    step.wait()
    while processes_with(f"TMPDIR={tmp_path}"):
        assert time.monotonic() < until
        time.sleep(0.1)


def processes_with(variable: str) -> list[int]:
    """The processes that have a variable in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


SEND = """
import os, pickle, sys
from kfp_mnist_mxnet.runtime.engine import mx

class Evil:
    def __reduce__(self):
        return (os.mkdir, (sys.argv[1],))

store = mx.kv.create("dist_sync")
store._send_command_to_servers(0, pickle.dumps(Evil(), 0).decode("ascii"))
"""


def test_the_parameter_server_unpickles_nothing(tmp_path):
    """MXNet's own would make the directory."""
    port = processes.free_ports()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NODE_HOST": "127.0.0.1",
        "DMLC_NUM_WORKER": "1",
        "DMLC_NUM_SERVER": "1",
    }
    server = [sys.executable, *roles.PARAMETER_SERVER]
    worker = [sys.executable, "-c", SEND, str(tmp_path / "evil")]
    commands = {"scheduler": server, "server": server, "worker": worker}
    started = [
        subprocess.Popen(command, env={**environment, "DMLC_ROLE": role}, stderr=subprocess.PIPE)
        for role, command in commands.items()
    ]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert b"nothing is unpickled here" in said[1]
    assert not (tmp_path / "evil").exists()


WATCH = """
import sys, time
from kfp_mnist_mxnet.distributed import watchdog
watchdog.INTERVAL, watchdog.SILENCE = 0.1, 3.0
rank, port, seconds = map(int, sys.argv[1:])
with watchdog.Watchdog(rank, 3, f"localhost:{port}", "attempt"):
    print("joined", flush=True)
    time.sleep(seconds)
"""


def watch(rank: int, port: int, seconds: int) -> Any:
    command = [sys.executable, "-c", WATCH, str(rank), str(port), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 2])
def test_the_watchdog_ends_every_process_of_a_peer_that_is_gone_or_silent(rank, number):
    port = processes.free_ports()
    nodes = [watch(each, port, 60) for each in range(3)]
    try:
        for node in nodes:
            assert node.stdout.readline() == "joined\n"
        nodes[rank].send_signal(number)
        others = [node for node in nodes if node is not nodes[rank]]
        assert [node.wait(timeout=20) for node in others] == [watchdog.PEER_LOST] * 2
    finally:
        for node in nodes:
            node.kill()
            node.wait()
            node.stdout.close()


def test_the_watchdog_waits_for_a_node_that_comes_late():
    port = processes.free_ports()
    nodes = [watch(each, port, 1) for each in range(2)]
    time.sleep(4)  # longer than the silence that counts as a loss
    nodes.append(watch(2, port, 1))
    try:
        assert [node.wait(timeout=30) for node in nodes] == [0, 0, 0]
    finally:
        for node in nodes:
            node.stdout.close()


def test_the_watchdog_lets_nodes_end_one_after_the_other():
    port = processes.free_ports()
    nodes = [watch(each, port, 1 + each) for each in range(3)]
    try:
        assert [node.wait(timeout=30) for node in nodes] == [0, 0, 0]
    finally:
        for node in nodes:
            node.stdout.close()


def in_store(data: dict, s3: str) -> dict:
    """The splits, in an object store as well as here."""
    client = minio.Minio(s3, "right", "hidden-secret", secure=False, region="us-east-1")
    found = {}
    for name, artifact in splits(data).items():
        for path in pathlib.Path(artifact.path).iterdir():
            client.fput_object("data", f"runs/{name}/{path.name}", str(path))
        found[name] = SimpleNamespace(
            name=name, path=artifact.path, uri=f"minio://data/runs/{name}"
        )
    return found


def on_cluster(artifacts, data: dict, s3: str, uri: str, **parameters) -> dict:
    model = SimpleNamespace(
        name="model",
        path=str(artifacts.root / "many"),
        uri=f"minio://data/{uri}/model",
        metadata={},
    )
    return artifacts.run(
        train_distributed,
        **in_store(data, s3),
        **{**NETWORK, "s3_endpoint": f"http://{s3}", **parameters},
        model=model,
    )


def left_in_store(s3: str, uri: str) -> list[str]:
    client = minio.Minio(s3, "right", "hidden-secret", secure=False, region="us-east-1")
    found = client.list_objects("data", prefix=f"{uri}/", recursive=True)
    return [each.object_name for each in found]


def test_pods_of_a_job_give_the_bytes_of_train_and_leave_nothing(
    artifacts, data, cluster, s3, keys, capfd
):
    one = artifacts.train(data, **NETWORK)
    many = on_cluster(artifacts, data, s3, "ok")
    assert files(many["model"]) == files(one["model"])
    assert len(cluster.deleted) == 1
    assert left_in_store(s3, "ok") == []
    shown = capfd.readouterr().out
    assert "Epoch[1] Validation-accuracy=" in shown  # the first node's log


def delete_job_when(cluster: Any, condition: Callable[[], bool]) -> None:
    """Delete the only job of a cluster as soon as the condition holds, while the test goes on."""

    def delete() -> None:
        while not condition():
            time.sleep(0.02)
        cluster.delete("jobs", next(iter(cluster.objects))[1])

    threading.Thread(target=delete, daemon=True).start()


def test_a_job_belongs_to_the_workflow_and_has_no_secret_of_its_own(
    artifacts, data, cluster, s3, keys, monkeypatch
):
    cluster.pending = "0/3 nodes are available: 3 Insufficient cpu."
    seen: list[dict] = []
    delete_job_when(cluster, lambda: len(seen) == 2)
    create = cluster.create

    def note(plural: str, body: dict) -> None:
        seen.append(body)
        create(plural, body)

    monkeypatch.setattr(cluster, "create", note)
    with pytest.raises(RuntimeError, match="was deleted by somebody else"):
        on_cluster(artifacts, data, s3, "pending", node_selector={"disk": "ssd"}, node_gpus=2)
    made, service = seen[:2]
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": "mnist-train-x7k2q",
            "uid": "w1",
        }
    ]
    assert service["metadata"]["ownerReferences"][0]["kind"] == "Job"
    spec = made["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "hidden-secret" not in json.dumps(made)


def test_a_job_that_no_machine_fits_is_told(artifacts, data, cluster, s3, keys, caplog):
    cluster.pending = "0/3 nodes are available: 3 Insufficient cpu."
    caplog.set_level("INFO")
    delete_job_when(cluster, lambda: "no machine fits it" in caplog.text)
    with pytest.raises(RuntimeError, match="was deleted by somebody else"):
        on_cluster(artifacts, data, s3, "waits")
    told = [line for line in caplog.messages if "no machine fits it" in line]
    assert told[0].endswith("0/3 nodes are available: 3 Insufficient cpu.")


def test_an_api_server_that_fails_for_a_moment_ends_nothing(artifacts, data, cluster, s3, keys):
    started = cluster.start

    def start(*arguments) -> None:
        started(*arguments)
        cluster.failures = 2

    cluster.start = start
    on_cluster(artifacts, data, s3, "hiccup")
    assert cluster.failures == 0
    assert len(cluster.deleted) == 1


def test_an_object_that_is_not_being_deleted_is_not_waited_for(cluster):
    made = api.Cluster()
    kind = api.Kind("batch", "v1", "jobs", "")
    cluster.objects["jobs", "one"] = {"metadata": {"name": "one"}}
    job.wait_until_gone(made, kind, "one")


def test_what_is_asked_again_and_again_may_fail_for_a_while(monkeypatch):
    monkeypatch.setattr(job, "POLL", 0.0)
    answers: Iterator[Any] = iter([1, Unavailable("away"), 2, *[Unavailable("away")] * 1000])

    def ask() -> Any:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    asked = job.poll(ask)
    assert [next(asked), next(asked)] == [1, 2]
    monkeypatch.setattr(job, "PATIENCE", 0.0)
    with pytest.raises(Unavailable, match="away"):
        next(asked)


def test_the_sentence_of_a_pod_is_the_error_of_the_step(artifacts, data, cluster, s3, keys):
    with pytest.raises(ValueError, match="batch_size is 62, which 2 nodes can't share evenly"):
        on_cluster(artifacts, data, s3, "refused", batch_size=62)
    assert len(cluster.deleted) == 1


def test_a_killed_pod_has_all_go_on_from_the_checkpoint(artifacts, data, cluster, s3, keys):
    network = {"epochs": 12}
    one = artifacts.train(data, **{**NETWORK, **network})

    def kill() -> None:
        while not any("checkpoint" in name for name in left_in_store(s3, "killed")):
            time.sleep(0.02)
        cluster.pods[1].process.kill()

    threading.Thread(target=kill, daemon=True).start()
    many = on_cluster(artifacts, data, s3, "killed", **network)
    assert len(cluster.deleted) == 2
    assert files(many["model"]) == files(one["model"])


def test_a_step_that_starts_again_takes_the_job_over(artifacts, data, cluster, s3, keys, caplog):
    """The first pod of the step is lost with its machine, after it has started the job."""
    caplog.set_level("INFO")
    one = artifacts.train(data, **NETWORK)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pods, "follow", lose_machine)
        patched.setattr("kfp_mnist_mxnet.cluster.job.try_to_delete", lambda *_: None)
        with pytest.raises(Lost):
            on_cluster(artifacts, data, s3, "adopted")
    started = [pod.name for pod in cluster.pods]
    many = on_cluster(artifacts, data, s3, "adopted")
    assert files(many["model"]) == files(one["model"])
    assert len(started) == 2
    assert sum(message.startswith("Took over jobs.batch") for message in caplog.messages) == 1


class Lost(BaseException):
    """A machine that goes down leaves no time for an error."""


def lose_machine(_: Pods) -> None:
    raise Lost


def test_a_pipeline_root_that_other_pods_do_not_know_is_refused(artifacts, data, cluster):
    """It is no reason to train in the pod of the step."""
    given = {
        name: SimpleNamespace(name=name, path=each.path, uri=f"gs://bucket/{name}")
        for name, each in splits(data).items()
    }
    model = SimpleNamespace(name="model", path=str(artifacts.root / "m"), uri="gs://bucket/model")
    with pytest.raises(
        ValueError, match="but train_data is at gs://bucket/train_data: choose such"
    ):
        artifacts.run(train_distributed, **given, **NETWORK, model=model)
    assert cluster.pods == []


@pytest.mark.parametrize(
    ("uri", "shown"), [("/ckpt", "/ckpt"), ("gs://me:hid-word@bucket/x", "gs://bucket/x")]
)
def test_a_checkpoint_in_a_pod_of_its_own_is_refused(
    artifacts, data, cluster, s3, keys, uri, shown
):
    said = f"checkpoint_uri is '{shown}', which the pods that train do not share"
    with pytest.raises(ValueError, match=said):
        on_cluster(artifacts, data, s3, "local", checkpoint_uri=uri)
    assert cluster.pods == []


@pytest.mark.parametrize(
    ("plural", "how", "parameters", "message"),
    [
        ("jobs", "forbidden", {}, "service account pipeline-runner of this step may not"),
        ("trainjobs", "missing", {"engine": "trainer"}, "install Kubeflow Trainer, or set engine"),
        ("trainjobs", "forbidden", {"engine": "trainer"}, "apply manifests/role.yaml"),
    ],
)
def test_what_the_cluster_lacks_is_one_sentence(
    artifacts, data, cluster, s3, keys, plural, how, parameters, message
):
    getattr(cluster, how).add(plural)
    if how == "missing":
        cluster.missing.add("trainingruntimes")
    with pytest.raises(ValueError, match=message):
        on_cluster(artifacts, data, s3, "lacks", **parameters)


@pytest.mark.parametrize(
    ("form", "installs"),
    [("installed", 0), ("packaged", 5)],  # sh -c SCRIPT sh PACKAGES
)
def test_code_and_packages_come_to_a_node_as_they_came_to_the_step(form, installs):
    made = getattr(STEPS["train_distributed"], form)("example.org/mxnet:1")
    told = made.component_spec.implementation.container.command
    argo = {"command": ["argoexec", "emissary", "--", "launch"], "args": ["--x", "--", *told]}
    assert command(argo, "python3", "-m", "node") == [*told[:installs], "python3", "-m", "node"]
    assert installs == 0 or "mxnet==1.9.1" in told[4]


def test_data_in_a_store_that_nodes_do_not_know_is_refused(artifacts, data, cluster):
    model = SimpleNamespace(name="model", path="", uri="minio://data/elsewhere/model")
    with pytest.raises(ValueError, match="other pods read their data from s3:// or minio://, but"):
        artifacts.run(train_distributed, **splits(data), **NETWORK, model=model)
