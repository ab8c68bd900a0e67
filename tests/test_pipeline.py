import ast
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import yaml
from click.testing import Result
from conftest import COMPILED, ROOT, SMALL, as_options, command, decode_bundles, write_idx_set
from registry_server import serving_registry
from workflow_size import dags

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.graph import read_graph, step_refs
from kfp_mnist_mxnet.cli.local.steps import step_environment
from kfp_mnist_mxnet.cli.options import PIPELINES
from kfp_mnist_mxnet.compiler.install import CPU_PINS, CUDA_PINS, PYTHON_IMAGE, pins
from kfp_mnist_mxnet.compiler.step import STEPS as COMPONENTS
from kfp_mnist_mxnet.compiler.step import Step
from kfp_mnist_mxnet.compiler.target import Target, file_name, write_yaml
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.model.hyperparameters import UNSET

STEPS = ["ingest", "train", "evaluate", "export", "predict"]  # the last two in either order


def test_the_command_line_knows_every_pipeline():
    assert list(PIPELINES) == sorted(pipeline.PIPELINES)


@pytest.mark.parametrize("name", pipeline.PIPELINES)
@pytest.mark.parametrize("gpu", [True, False])
def test_committed_yaml_is_fresh(tmp_path, name, gpu):
    path = tmp_path / "compiled.yaml"
    write_yaml(pipeline.PIPELINES[name](Target(gpu=gpu)), path)
    assert (COMPILED / file_name(name, gpu)).read_text() == path.read_text(), "make yaml"


def test_steps_and_their_order():
    spec, *_ = yaml.safe_load_all((COMPILED / "pipeline.yaml").read_text())
    tasks = spec["root"]["dag"]["tasks"]
    gate = tasks["condition-1"]
    assert "dependentTasks" not in tasks["ingest"]
    assert tasks["train"]["dependentTasks"] == ["ingest"]
    assert tasks["evaluate"]["dependentTasks"] == ["ingest", "train"]
    assert gate["dependentTasks"] == ["evaluate", "ingest", "train"]
    assert "evaluate-Output'] >= inputs" in gate["triggerPolicy"]["condition"]
    inside = spec["components"]["comp-condition-1"]["dag"]["tasks"]
    assert {"export", "predict", "register"} <= set(inside)
    assert "dependentTasks" not in inside["predict"]
    assert inside["register"]["dependentTasks"] == ["export"]
    assert inside["register"]["cachingOptions"] == {}


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_no_condition_is_in_another_and_what_is_switched_off_needs_none(name):
    boxes = read_graph(pipeline.PIPELINES[name](Target()).pipeline_spec)
    titles = {box.title for place in step_refs(boxes) for box in place.conditions}
    assert titles == ({"enough accuracy"} if name.startswith(("train", "tune")) else set())
    assert all(len(place.conditions) <= 1 for place in step_refs(boxes))


def documents(path: pathlib.Path) -> tuple[dict, dict, dict]:
    """The pipeline, its executors, and the Kubernetes settings of each executor."""
    spec, platform = yaml.safe_load_all(path.read_text())
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return spec, spec["deploymentSpec"]["executors"], settings


def compiled(tmp_path, *options) -> tuple[dict, dict, dict]:
    path = tmp_path / "compiled.yaml"
    done = command("compile", *options, "--output", path)
    assert done.exit_code == 0, done.output
    return documents(path)


def step_of_executor(executor: str) -> Step:
    return COMPONENTS[executor.removeprefix("exec-").replace("-", "_")]


def trains(executor: str) -> bool:
    return executor == "exec-train"


def gpu_fields(executor: dict, settings: dict) -> list[str]:
    found = [name for name in ("nodeSelector", "tolerations") if name in settings]
    return found + ["accelerator"] * ("accelerator" in executor["container"]["resources"])


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_only_a_train_step_asks_for_a_gpu(name):
    _, executors, settings = documents(COMPILED / file_name(name, True))
    everything = ["nodeSelector", "tolerations", "accelerator"]
    for executor, spec in executors.items():
        if "container" in spec:
            fields = gpu_fields(spec, settings[executor])
            assert fields == (everything if trains(executor) else []), executor


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_the_cpu_pipeline_asks_for_no_gpu(name):
    spec, executors, settings = documents(COMPILED / file_name(name, False))
    for executor, value in executors.items():
        if "container" in value:
            assert gpu_fields(value, settings[executor]) == []
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    asked = {key: value.get("defaultValue") for key, value in parameters.items() if "gpu" in key}
    own = {"train_distributed": {"node_gpus": 0}, "tune": {"trial_gpus": 0}}
    assert asked == own.get(name, {})


def test_gpu_count_selector_and_tolerations_are_parameters():
    spec, executors, settings = documents(COMPILED / "pipeline.yaml")
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    accelerator = executors["exec-train"]["container"]["resources"]["accelerator"]
    chosen = settings["exec-train"]
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert "gpu_count" in accelerator["resourceCount"]
    assert chosen["nodeSelector"] == {
        "nodeSelectorJson": {"componentInputParameter": "gpu_node_selector"}
    }
    assert chosen["tolerations"] == [
        {"tolerationJson": {"componentInputParameter": "gpu_tolerations"}}
    ]
    # The back end reads the count with GetStringValue(): a number would drop the GPU.
    assert parameters["gpu_count"] == {
        "defaultValue": "1",
        "isOptional": True,
        "parameterType": "STRING",
    }
    assert parameters["gpu_node_selector"]["defaultValue"] == {"nvidia.com/gpu.present": "true"}
    assert parameters["gpu_tolerations"]["defaultValue"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


def test_a_fixed_node_selector_stands_in_the_yaml(tmp_path):
    spec, executors, settings = compiled(tmp_path, "--node-selector", "pool=a100")
    accelerator = executors["exec-train"]["container"]["resources"]["accelerator"]
    assert settings["exec-train"]["nodeSelector"] == {"labels": {"pool": "a100"}}
    assert settings["exec-train"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert accelerator["count"] == accelerator["resourceCount"] == "1"
    assert not [p for p in spec["root"]["inputDefinitions"]["parameters"] if "gpu" in p]


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_a_fixed_node_selector_is_for_back_ends_that_know_less(tmp_path, name):
    spec, _, settings = compiled(tmp_path, "--pipeline", name, "--node-selector", "pool=a100")
    inner = [value["dag"] for value in spec["components"].values() if "dag" in value]
    for dag in [spec["root"]["dag"], *inner]:
        assert [task["taskInfo"]["name"] for task in dag["tasks"].values()] == list(dag["tasks"])
    for value in settings.values():
        assert list(value["podMetadata"]["labels"]) == ["app.kubernetes.io/part-of"]
        for secret in value.get("secretAsEnv", []):
            assert set(secret) == {"keyToEnv", "secretName"}


def test_stock_steps_run_on_the_public_image_with_pinned_packages():
    _, executors, _ = documents(COMPILED / "pipeline.yaml")
    (carried,) = decode_bundles(executors["exec-ingest"]["container"]["command"][2])
    packages = ast.literal_eval(re.findall(r"run\(({.*?})\[step\]", carried)[0])
    for name, executor in executors.items():
        assert executor["container"]["image"] == PYTHON_IMAGE
        step = step_of_executor(name)
        program = f"{packages[step.name]} "
        computes = "mxnet" in step.imports.packages
        mxnet = pins(CUDA_PINS) if trains(name) else pins(CPU_PINS, ["mxnet"])
        assert all((f"{package} " in program) == computes for package in mxnet)
        assert ("mxnet==" in program) == (computes and not trains(name))


def test_own_images_have_no_pip_stage(tmp_path):
    images = ["--image", "example.org/cpu:1", "--gpu-image", "example.org/gpu:1"]
    _, executors, _ = compiled(tmp_path, *images)
    for name, executor in executors.items():
        container = executor["container"]
        assert container["image"] == f"example.org/{'gpu' if trains(name) else 'cpu'}:1"
        assert "pip install" not in " ".join(container["command"][:-1])


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_every_step_is_a_good_citizen(name):
    _, executors, settings = documents(COMPILED / file_name(name, True))
    for executor, value in executors.items():
        if "container" not in value:
            continue
        resources = value["container"]["resources"]
        for limit in ("CpuLimit", "CpuRequest", "MemoryLimit", "MemoryRequest"):
            assert resources[f"resource{limit}"], (executor, limit)
        assert int(settings[executor]["activeDeadlineSeconds"]) > 0
        labels = settings[executor]["podMetadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "kfp-mnist-mxnet"


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_a_step_whose_pod_is_lost_gets_another(name):
    spec, *_ = documents(COMPILED / file_name(name, True))
    for tasks in dags(spec):
        for task in tasks.values():
            component = spec["components"][task["componentRef"]["name"]]
            if "container" in spec["deploymentSpec"]["executors"].get(
                component.get("executorLabel", ""), {}
            ):
                assert task["retryPolicy"]["maxRetryCount"] == 2


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_every_label_fits_into_the_graph_of_the_ui(name):
    # The UI cuts the name of a task at about 23 characters and that of an artifact at 29.
    spec, *_ = documents(COMPILED / file_name(name, True))
    labels = [task["taskInfo"]["name"] for tasks in dags(spec) for task in tasks.values()]
    artifacts = {
        output
        for component in spec["components"].values()
        if "dag" not in component  # kfp names what a loop collects
        for output in component.get("outputDefinitions", {}).get("artifacts", {})
    }
    assert max(map(len, labels)) <= 23
    assert max(map(len, artifacts)) <= 29


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_an_importer_has_no_name_for_display(name):
    # The back end records an importer under that name, and a loop or a condition that takes its
    # artifact ends with "cannot find producer task": it looks for the task's own name.
    spec, *_ = documents(COMPILED / file_name(name, True))
    importers = [
        executor for executor in spec["deploymentSpec"]["executors"] if "import" in executor
    ]
    assert bool(importers) == (name == "batch_predict")
    for tasks in dags(spec):
        for key, task in tasks.items():
            if "importer" in task["componentRef"]["name"]:
                assert task["taskInfo"]["name"] == key


def test_credentials_come_from_the_optional_secret():
    _, _, settings = documents(COMPILED / "pipeline.yaml")
    for name in ("exec-ingest", "exec-train"):
        (secret,) = settings[name]["secretAsEnv"]
        assert (secret["secretName"], secret["optional"]) == ("mlpipeline-minio-artifact", True)
    assert "secretAsEnv" not in settings["exec-evaluate"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--image", "example.org/cpu:1"], "takes --image and --gpu-image together"),
        (["--node-selector", "pool"], "--node-selector must be KEY=VALUE, got 'pool'"),
        (["--target", "cpu", "--node-selector", "a=b"], "are for --target gpu"),
    ],
)
def test_refuses_compile_options_that_do_not_fit(tmp_path, options, message):
    done = command("compile", *options, "--output", tmp_path / "x")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_parameter_has_a_default():
    spec, *_ = yaml.safe_load_all((COMPILED / "pipeline.yaml").read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert [name for name, value in parameters.items() if "defaultValue" not in value] == []


def behind_the_gate() -> list[str]:
    """The steps that need the accuracy that is asked for."""
    spec, *_ = yaml.safe_load_all((COMPILED / "pipeline.yaml").read_text())
    return list(spec["components"]["comp-condition-1"]["dag"]["tasks"])


def statuses(record: dict, skipped: set[str]) -> set[str]:
    """The steps of a run, of which these were skipped and the others succeeded."""
    found = {step["name"]: step["status"] for step in record["steps"]}
    assert {name for name, status in found.items() if status == "SKIPPED"} == skipped
    assert set(found.values()) <= {"SUCCEEDED", "SKIPPED"}
    return set(found)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A run of everything, with white space in its paths, from among code of a user's own.

    done: the process, as it ended. record: run.json. registry: where the model was registered.
    """
    root = tmp_path_factory.mktemp("python3 whole run")
    source, here = write_idx_set(root / "my idx", train=300), root / "my python3 project"
    (here / "components").mkdir(parents=True)
    for name in ("components/__init__", "queue", "types"):
        (here / f"{name}.py").write_text("raise SystemExit('the code of a user was run')")
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2"}
    program = [sys.executable, f"{ROOT}/pipeline.py", "run", "--data-uri", source.as_uri()]
    with serving_registry() as registry:
        options = {**SMALL, "epochs": 3, "registry_uri": registry.url, "model_name": "digits"}
        done = subprocess.run(
            [*program, *as_options(options)],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        latest = here / "runs" / "latest"
        record = json.loads((latest / "run.json").read_text())
        yield SimpleNamespace(done=done, latest=latest, record=record, registry=registry)


def test_runs_the_whole_pipeline(whole_run):
    record = whole_run.record
    assert record["status"] == "SUCCEEDED"
    assert record["accuracy"] > 0.9
    assert record["seconds"] > 0
    assert record["parameters"]["kernels"] == [3]
    steps = {step["name"]: step for step in record["steps"]}
    assert [name for name in steps if name in STEPS[:3]] == STEPS[:3]
    assert statuses(record, skipped=set()) >= {*STEPS, "register"}
    assert steps["train"]["metrics"]["validation_accuracy"] > 0.9
    changed = ["data_uri", "registry_uri", "model_name", "epochs", "batch_size", "kernels"]
    assert sorted(record["changed"]) == sorted([*changed, "filters", "hidden_units"])


def test_a_run_keeps_what_its_steps_make(whole_run):
    steps = {step["name"]: step for step in whole_run.record["steps"]}
    paths = {name: path for step in steps.values() for name, path in step["outputs"].items()}
    assert pathlib.Path(paths["train_data"], "images.npy").is_file()
    assert pathlib.Path(paths["predictions"], "labels.npy").is_file()
    assert pathlib.Path(paths["onnx_model"], "digits", "1", "model.onnx").is_file()
    assert pathlib.Path(paths["model_card"]).is_file()
    page = (whole_run.latest / "index.html").read_text()
    assert 'href="artifacts/mnist-train-' in page


def test_a_run_prints_what_its_steps_log_and_the_accuracy(whole_run):
    printed = whole_run.done.stdout
    assert "accuracy" in printed.splitlines()[-3]
    assert "train | Epoch[0] Train-accuracy=" in printed
    assert "Batch [" not in printed


def test_the_pipeline_registers_what_it_exports(whole_run):
    (version,) = whole_run.registry.stored["model_versions"]
    (artifact,) = whole_run.registry.stored["artifacts"]
    steps = {step["name"]: step for step in whole_run.record["steps"]}
    assert artifact["uri"] == f"{steps['export']['outputs']['onnx_model']}/digits"
    assert version["customProperties"]["accuracy"]["double_value"] == whole_run.record["accuracy"]


def plain(value):
    """A record without its times: seconds and images or samples a second."""
    if isinstance(value, dict):
        times = ("seconds", "s_per_second", "started", "after")
        return {name: plain(v) for name, v in value.items() if not name.endswith(times)}
    return [plain(v) for v in value] if isinstance(value, list) else value


def comparable(directory: pathlib.Path) -> dict[str, object]:
    """The content of every file of a run, without its own name and without times.

    Times stand in run.json and the page that shows it, in the metrics (executor_output.json) and in
    log.txt, nowhere else.
    """
    found: dict[str, object] = {}
    for path in directory.rglob("*"):
        if path.is_file() and path.name not in ("index.html", "log.txt"):
            name = re.sub(r"mnist-train-[-\d]+", "RUN", str(path.relative_to(directory)))
            found[name] = path.read_bytes()
            if path.name in ("run.json", "executor_output.json"):
                text = path.read_text().replace(str(directory), "DIRECTORY")
                content = plain(json.loads(re.sub(r"mnist-train-[-\d]+", "RUN", text)))
                if path.name == "run.json":  # export and predict run in either order
                    content["steps"].sort(key=lambda step: step["name"])
                found[name] = content
    return found


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory) -> SimpleNamespace:
    """Two runs, without export, that started at the same time.

    directories: in the order of their names. printed: by the first to start. latest: what the link
    of that name leads to.
    """
    root = tmp_path_factory.mktemp("two runs")
    off = {"export_onnx": False, "registry_uri": "http://127.0.0.1:9"}
    program = [sys.executable, "pipeline.py", "run", "--data-uri", str(write_idx_set(root / "idx"))]
    program += [*as_options({**SMALL, **off}), "--output-dir", str(root / "runs")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(root)}
    started = [
        subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    runs = sorted(path for path in (root / "runs").iterdir() if not path.is_symlink())
    latest = (root / "runs" / "latest").resolve()
    return SimpleNamespace(directories=runs, printed=printed[0], latest=latest)


def test_two_runs_at_once_have_their_own_directories_and_the_same_bytes(two_runs):
    first, second = two_runs.directories
    assert two_runs.latest in (first, second)
    assert len(comparable(first)) >= 20
    assert comparable(first) == comparable(second)


def test_a_parameter_turns_the_export_off(two_runs):
    record = json.loads((two_runs.directories[0] / "run.json").read_text())
    assert statuses(record, skipped={"export", "register"}) >= set(STEPS)
    for step in ("export", "register"):
        assert f"{step} skipped: export_onnx is false" in two_runs.printed.splitlines()
    assert not [s["outputs"] for s in record["steps"] if s["name"] == "export" and s["outputs"]]


MODULES = ["components", "json", "kfp", "kfp_mnist_mxnet", "matplotlib", "numpy", "queue", "types"]


@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
def test_what_a_step_imports_is_not_taken_from_where_it_starts(tmp_path, monkeypatch, form):
    for name in MODULES:
        path = tmp_path / form.format(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('the code of a user was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f".{os.pathsep}{tmp_path}")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    names = ", ".join(name for name in MODULES if name != "components")
    print_root = f"import {names}; print(kfp_mnist_mxnet.__file__)"
    for start in (["-c", print_root], ["-m", "kfp.dsl.executor_main", "--help"]):
        done = subprocess.run(
            [sys.executable, *start], env=step_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert str(ROOT) in done.stdout or "--executor_input" in done.stdout


@pytest.mark.parametrize("name", ["WARNINGS", "OPTIMIZE", "INSPECT", "DEVMODE", "VERBOSE", "UTF8"])
def test_a_step_is_not_told_what_the_shell_tells_python(monkeypatch, name):
    monkeypatch.setenv(f"PYTHON{name}", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/tmp/cache")
    assert f"PYTHON{name}" not in step_environment()
    assert step_environment()["PYTHONPYCACHEPREFIX"] == "/tmp/cache"


def test_a_component_is_not_compiled_without_its_descriptions(tmp_path):
    program = [sys.executable, "-OO", "pipeline.py", "compile", "--component", "train"]
    program += ["--output", str(tmp_path / "x.yaml")]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unset PYTHONOPTIMIZE" in done.stderr
    assert not list(tmp_path.iterdir())


def run(tmp_path, source: object, **parameters) -> tuple[Result, dict]:
    """Run the train pipeline on a small data set; return how it ended and run.json."""
    options = ["--data-uri", source, *as_options(parameters), "--output-dir", tmp_path / "runs"]
    done = command("run", *options)
    return done, json.loads((tmp_path / "runs" / "latest" / "run.json").read_text())


def test_below_min_accuracy_predict_does_not_run(tmp_path):
    source = write_idx_set(tmp_path / "idx")
    done, record = run(tmp_path, source, **SMALL, learning_rate=1e-9, min_accuracy=1)
    assert done.exit_code == 0, done.output
    assert record["status"] == "SUCCEEDED"
    gated = set(behind_the_gate())
    assert statuses(record, skipped=gated) >= set(STEPS)
    why = f"accuracy {record['accuracy']:.4f} < min_accuracy 1.0"
    assert record["gate"]["reason"] == why
    assert set(record["gate"]["steps"]) == gated
    behind = ", ".join(record["gate"]["steps"])
    assert f"gated     {why}: {behind} did not run" in done.stdout.splitlines()
    assert {step.get("reason") for step in record["steps"] if step["name"] in gated} == {
        f"{name} skipped: {why}" for name in gated
    }


def test_a_failed_step_fails_the_run(tmp_path):
    done, record = run(tmp_path, write_idx_set(tmp_path / "idx"), epochs=-2)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "train: epochs must be at least 0, got -2"
    assert record["status"] == "FAILED"
    assert record["error"] == "train: epochs must be at least 0, got -2"
    assert f"<p>{record['error']}</p>" in (tmp_path / "runs/latest/index.html").read_text()
    found = {step["name"]: step["status"] for step in record["steps"]}
    assert (found.pop("ingest"), found.pop("train")) == ("SUCCEEDED", "FAILED")
    assert {found[name] for name in ("evaluate", *behind_the_gate())} == {"SKIPPED"}


def test_a_password_in_a_source_stays_out_of_the_record_and_the_log(tmp_path):
    source = "http://me:pass-word-s3cr3t@127.0.0.1:9/idx?signature=sign-s3cr3t"
    done, _ = run(tmp_path, source)
    assert done.exit_code == 1
    written = [path.read_text() for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) >= 2
    for text in [done.stdout, done.stderr, *written]:
        assert "-s3cr3t" not in text
    assert "http://127.0.0.1:9/idx" in done.stderr


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "expected NAME=VALUE, got 'epochs'"),
        ("epoch=3", "no parameter 'epoch': did you mean 'epochs'?"),
        ("epochs=many", "epochs must be a whole number up to 2^53, got 'many'"),
        ("min_accuracy=99", "min_accuracy must be from 0 to 1, got 99.0"),
        ("min_accuracy=nan", "min_accuracy must be a finite number, got 'nan'"),
        (
            "registry_uri=http://me:hush@registry",
            "registry_uri must have no password and no query, got http://registry and more",
        ),
        ("model_name=a/b", "model_name must be 1 to 63 letters, digits, '.', '_' and '-'"),
    ],
)
def test_refuses_a_bad_parameter(tmp_path, assignment, message):
    done = command("run", "-p", assignment, "--output-dir", tmp_path / "runs")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", pipeline.PIPELINES)
def test_a_task_says_only_what_it_is_given(name):
    spec, *_ = documents(COMPILED / file_name(name, True))
    tasks = [task for tasks in dags(spec) for task in tasks.values()]
    for task in tasks:
        key = task["componentRef"]["name"]
        declared = spec["components"][key].get("inputDefinitions", {}).get("parameters", {})
        alike = [other for other in tasks if other["componentRef"]["name"] == key]
        given = {name for other in alike for name in other.get("inputs", {}).get("parameters", {})}
        assert {key for key, parameter in declared.items() if parameter.get("isOptional")} <= given
        assert not any("description" in parameter for parameter in declared.values())


def test_the_pipeline_has_every_hyperparameter_that_train_takes():
    parameters = pipeline.PIPELINES["train"](Target()).component_spec.inputs
    for name, spec in train.component_spec.inputs.items():
        if name in UNSET:
            assert parameters[name].default == spec.default, name
