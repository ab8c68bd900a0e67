"""The pipelines of the suite: each a function that returns it for a target."""

import dataclasses
from collections.abc import Callable
from typing import Any

from kfp import dsl

from kfp_mnist_mxnet.compiler.target import GPU_TOLERATION, Resources, Steps, Target
from kfp_mnist_mxnet.components.compare import compare
from kfp_mnist_mxnet.components.evaluate import evaluate
from kfp_mnist_mxnet.components.export import export
from kfp_mnist_mxnet.components.ingest import ingest
from kfp_mnist_mxnet.components.ingest_images import ingest_images
from kfp_mnist_mxnet.components.merge import merge
from kfp_mnist_mxnet.components.plan import plan
from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.components.register import register
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.components.train_distributed import train_distributed
from kfp_mnist_mxnet.components.tune import tune
from kfp_mnist_mxnet.components.upload import upload

INGEST = Resources("1", "512Mi", "2", "2Gi", timeout=3600, store=True)
TRAIN = Resources("2", "2Gi", "4", "8Gi", timeout=6 * 3600, store=True, gpu=True)
TRIAL = dataclasses.replace(TRAIN, store=False)
LAUNCH = Resources("500m", "512Mi", "1", "2Gi", timeout=7 * 24 * 3600, store=True, gpu=True)
EVALUATION = Resources("1", "1Gi", "4", "4Gi", timeout=3600)
SHARD = Resources("2", "1Gi", "2", "2Gi", timeout=3600)
MERGE = Resources("1", "512Mi", "2", "2Gi", timeout=3600)
UPLOAD = Resources("1", "512Mi", "2", "1Gi", timeout=3600, store=True)
LIGHTWEIGHT = Resources("500m", "256Mi", "1", "1Gi", timeout=1800)

# How long a loop may be where steps carry code, and where the image or the wheel has it: Argo keeps
# a run in 1 MiB. tests/workflow_size.py estimates what it needs.
MAX_TRIALS = (12, 200)
MAX_SHARDS = (100, 230)


def train_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, train, evaluate on the test images, predict them, export."""

    @target.pipeline(
        name="mnist-train",
        description="Trains a CNN on images in the IDX format, scores it, predicts with it and "
        "exports it to ONNX.",
    )
    def mnist_train(
        data_uri: str = "mnist",
        data_sha256: str = "",
        s3_endpoint: str = "",
        train_images_file: str = "",
        train_labels_file: str = "",
        test_images_file: str = "",
        test_labels_file: str = "",
        validation_fraction: float = 0.1,
        recipe: str = "default",
        seed: int = 0,
        device: str = "auto",
        checkpoint_uri: str = "",
        class_names: list[str] = [],
        min_accuracy: float = 0.0,
        export_onnx: bool = True,
        model_name: str = "mnist",
        model_license: str = "",
        model_owner: str = "",
        model_contact: str = "",
        registry_uri: str = "",
        gpu_count: str = "1",  # the back end reads it as text
        gpu_node_selector: dict = {"nvidia.com/gpu.present": "true"},
        gpu_tolerations: list = [GPU_TOLERATION],
        epochs: int = -1,
        batch_size: int = -1,
        cpu_threads: int = -1,
        learning_rate: float = -1.0,
        optimizer: str = "",
        momentum: float = -1.0,
        weight_decay: float = -1.0,
        dropout: float = -1.0,
        augmentation: float = -1.0,
        flip: str = "",
        activation: str = "",
        kernels: list[int] = [],
        filters: list[int] = [],
        hidden_units: list[int] = [],
    ):
        steps = target.steps()
        data = steps.add(
            ingest,
            INGEST,
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            sha256=data_sha256,
            s3_endpoint=s3_endpoint,
            train_images_file=train_images_file,
            train_labels_file=train_labels_file,
            test_images_file=test_images_file,
            test_labels_file=test_labels_file,
            class_names=class_names,
        )
        training = steps.add(
            train,
            TRAIN,
            train_data=data.outputs["train_data"],
            validation_data=data.outputs["validation_data"],
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            cpu_threads=cpu_threads,
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            dropout=dropout,
            augmentation=augmentation,
            flip=flip,
            activation=activation,
            kernels=kernels,
            filters=filters,
            hidden_units=hidden_units,
            seed=seed,
            device=device,
            checkpoint_uri=checkpoint_uri,
            s3_endpoint=s3_endpoint,
        )
        target.request_gpus(training, gpu_count, gpu_node_selector, gpu_tolerations)
        test = {"model": training.outputs["model"], "data": data.outputs["test_data"]}
        evaluate_and_use(
            steps,
            test,
            min_accuracy,
            registry_uri,
            model_name=model_name,
            export_onnx=export_onnx,
            license=model_license,
            owner=model_owner,
            contact=model_contact,
        )

    return mnist_train


def evaluate_and_use(
    steps: Steps, test: dict[str, Any], min_accuracy: Any, registry_uri: Any, **exported: Any
) -> None:
    """Add to a pipeline: evaluate, and for a model that is good enough predict, export, register.

    test: the model and the test images; the rest: parameters of the pipeline, exported those of
    export. registry_uri: None for no registration.
    """
    evaluation = steps.add(evaluate, EVALUATION, **test)
    good = evaluation.outputs["Output"] >= min_accuracy
    with dsl.If(good, name=steps.target.display_name("enough accuracy")):
        # What is switched off does nothing and succeeds: a condition in a condition that is not
        # met leaves both running for ever in the UI.
        steps.add(predict, EVALUATION, **test)
        exporting = steps.add(export, EVALUATION, **test, **exported)
        if registry_uri is None:
            return
        registering = steps.add(
            register,
            LIGHTWEIGHT,
            onnx_model=exporting.outputs["onnx_model"],
            metrics=evaluation.outputs["metrics"],
            registry_uri=registry_uri,
        )
        registering.set_caching_options(False)  # what it is for happens outside the pipeline


def train_distributed_pipeline(target: Target) -> Any:
    """Return the pipeline: as train, but training runs on several nodes."""

    @target.pipeline(
        name="mnist-train-distributed",
        description="Trains a CNN on several nodes, scores it, predicts with it and exports it.",
    )
    def mnist_train_distributed(
        data_uri: str = "mnist",
        data_sha256: str = "",
        s3_endpoint: str = "",
        train_images_file: str = "",
        train_labels_file: str = "",
        test_images_file: str = "",
        test_labels_file: str = "",
        validation_fraction: float = 0.1,
        num_nodes: int = 2,
        engine: str = "job",
        runtime: str = "kfp-mnist-mxnet",
        node_cpu: str = "2",
        node_memory: str = "4Gi",
        node_gpus: int = 1 if target.gpu else 0,
        node_selector: dict = {"nvidia.com/gpu.present": "true"} if target.gpu else {},
        node_tolerations: list = [GPU_TOLERATION] if target.gpu else [],
        recipe: str = "default",
        hyperparameters: dict = {},
        seed: int = 0,
        device: str = "auto",
        checkpoint_uri: str = "",
        class_names: list[str] = [],
        min_accuracy: float = 0.0,
        export_onnx: bool = True,
        model_name: str = "mnist",
        model_license: str = "",
        model_owner: str = "",
        model_contact: str = "",
        registry_uri: str = "",
    ):
        steps = target.steps()
        data = steps.add(
            ingest,
            INGEST,
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            sha256=data_sha256,
            s3_endpoint=s3_endpoint,
            train_images_file=train_images_file,
            train_labels_file=train_labels_file,
            test_images_file=test_images_file,
            test_labels_file=test_labels_file,
            class_names=class_names,
        )
        training = steps.add(
            train_distributed,
            LAUNCH,
            train_data=data.outputs["train_data"],
            validation_data=data.outputs["validation_data"],
            num_nodes=num_nodes,
            engine=engine,
            runtime=runtime,
            node_cpu=node_cpu,
            node_memory=node_memory,
            node_gpus=node_gpus,
            node_selector=node_selector,
            node_tolerations=node_tolerations,
            recipe=recipe,
            hyperparameters=hyperparameters,
            seed=seed,
            device=device,
            checkpoint_uri=checkpoint_uri,
            s3_endpoint=s3_endpoint,
        )
        test = {"model": training.outputs["model"], "data": data.outputs["test_data"]}
        evaluate_and_use(
            steps,
            test,
            min_accuracy,
            registry_uri,
            model_name=model_name,
            export_onnx=export_onnx,
            license=model_license,
            owner=model_owner,
            contact=model_contact,
        )

    return mnist_train_distributed


def sweep_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, train each trial, evaluate the best, predict, export."""

    @target.pipeline(
        name="mnist-sweep",
        description="Trains a CNN with several sets of hyperparameters and takes the best one.",
    )
    def mnist_sweep(
        data_uri: str = "mnist",
        train_images_file: str = "",
        train_labels_file: str = "",
        test_images_file: str = "",
        test_labels_file: str = "",
        validation_fraction: float = 0.1,
        trials: list[dict] = [{"activation": "tanh"}, {"activation": "relu"}],
        recipe: str = "default",
        epochs: int = -1,
        seed: int = 0,
        device: str = "auto",
        s3_endpoint: str = "",
        export_onnx: bool = True,
        model_license: str = "",
        model_owner: str = "",
        model_contact: str = "",
        gpu_count: str = "1",
        gpu_node_selector: dict = {"nvidia.com/gpu.present": "true"},
        gpu_tolerations: list = [GPU_TOLERATION],
    ):
        steps = target.steps()
        data = steps.add(
            ingest,
            INGEST,
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            s3_endpoint=s3_endpoint,
            train_images_file=train_images_file,
            train_labels_file=train_labels_file,
            test_images_file=test_images_file,
            test_labels_file=test_labels_file,
        )
        splits = {name: data.outputs[name] for name in ("train_data", "validation_data")}
        planning = steps.add(
            plan,
            LIGHTWEIGHT,
            **splits,
            trials=trials,
            recipe=recipe,
            epochs=epochs,
            max_trials=target.max_iterations(*MAX_TRIALS),
        )
        # One after the other on a laptop: each takes all CPUs.
        with dsl.ParallelFor(
            planning.outputs["Output"],
            name=target.display_name("trials"),
            parallelism=0 if target.place == "cluster" else 1,
        ) as trial:
            training = steps.add(
                train,
                TRIAL,
                **splits,
                hyperparameters=trial,
                recipe=recipe,
                epochs=epochs,
                seed=seed,
                device=device,
                allow_divergence=True,
            )
            target.request_gpus(training, gpu_count, gpu_node_selector, gpu_tolerations)
        comparison = steps.add(
            compare, LIGHTWEIGHT, models=dsl.Collected(training.outputs["model"])
        )
        test = {"model": comparison.outputs["best_model"], "data": data.outputs["test_data"]}
        evaluation = steps.add(evaluate, EVALUATION, **test)
        steps.add(predict, EVALUATION, **test).after(evaluation)
        steps.add(
            export,
            EVALUATION,
            **test,
            export_onnx=export_onnx,
            license=model_license,
            owner=model_owner,
            contact=model_contact,
        ).after(evaluation)

    return mnist_sweep


def tune_pipeline(target: Target) -> Any:
    """Return the pipeline: ingest, search with Katib, evaluate the best, predict, export."""

    @target.pipeline(
        name="mnist-tune",
        description="Searches hyperparameters with Katib and takes the best model.",
    )
    def mnist_tune(
        data_uri: str = "mnist",
        data_sha256: str = "",
        s3_endpoint: str = "",
        train_images_file: str = "",
        train_labels_file: str = "",
        test_images_file: str = "",
        test_labels_file: str = "",
        validation_fraction: float = 0.1,
        search_space: dict = {
            "learning_rate": {"min": 0.02, "max": 0.4, "log": True},
            "weight_decay": {"min": 0.00001, "max": 0.001, "log": True},
            "dropout": {"min": 0.0, "max": 0.5},
            "augmentation": {"min": 0.0, "max": 1.5},
        },
        algorithm: str = "tpe",
        max_trials: int = 12,
        parallel_trials: int = 2,
        max_failed_trials: int = 3,
        trial_cpu: str = "2",
        trial_memory: str = "4Gi",
        trial_gpus: int = 1 if target.gpu else 0,
        recipe: str = "default",
        epochs: int = -1,
        seed: int = 0,
        class_names: list[str] = [],
        min_accuracy: float = 0.0,
        export_onnx: bool = True,
        model_name: str = "mnist",
        model_license: str = "",
        model_owner: str = "",
        model_contact: str = "",
    ):
        steps = target.steps()
        data = steps.add(
            ingest,
            INGEST,
            data_uri=data_uri,
            validation_fraction=validation_fraction,
            seed=seed,
            sha256=data_sha256,
            s3_endpoint=s3_endpoint,
            train_images_file=train_images_file,
            train_labels_file=train_labels_file,
            test_images_file=test_images_file,
            test_labels_file=test_labels_file,
            class_names=class_names,
        )
        tuning = steps.add(
            tune,
            LAUNCH,
            train_data=data.outputs["train_data"],
            validation_data=data.outputs["validation_data"],
            search_space=search_space,
            algorithm=algorithm,
            max_trials=max_trials,
            parallel_trials=parallel_trials,
            max_failed_trials=max_failed_trials,
            trial_cpu=trial_cpu,
            trial_memory=trial_memory,
            trial_gpus=trial_gpus,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            s3_endpoint=s3_endpoint,
        )
        test = {"model": tuning.outputs["best_model"], "data": data.outputs["test_data"]}
        evaluate_and_use(
            steps,
            test,
            min_accuracy,
            registry_uri=None,  # one step more would not be safe in Argo's 1 MiB
            model_name=model_name,
            export_onnx=export_onnx,
            license=model_license,
            owner=model_owner,
            contact=model_contact,
        )

    return mnist_tune


def batch_predict_pipeline(target: Target) -> Any:
    """Return the pipeline: predict images in shards, merge the predictions, upload them."""

    @target.pipeline(
        name="mnist-batch-predict",
        description="Predicts any number of images with a trained model, in parallel shards.",
    )
    def mnist_batch_predict(
        model_uri: str,
        data_uri: str = "mnist",
        images_file: str = "t10k-images-idx3-ubyte",
        labels_file: str = "t10k-labels-idx1-ubyte",
        shards: int = 4,
        batch_size: int = 144,
        destination_uri: str = "",
        s3_endpoint: str = "",
    ):
        steps = target.steps()
        # Without a display name: the back end would record the importer under it, and the loop
        # would not find the task that its artifact comes from.
        model = dsl.importer(artifact_uri=model_uri, artifact_class=dsl.Model)
        data = steps.add(
            ingest_images,
            INGEST,
            data_uri=data_uri,
            images_file=images_file,
            labels_file=labels_file,
            shards=shards,
            max_shards=target.max_iterations(*MAX_SHARDS),
            s3_endpoint=s3_endpoint,
            model=model.output,
            destination_uri=destination_uri,
        )
        with dsl.ParallelFor(
            data.outputs["Output"], name=target.display_name("each shard")
        ) as shard:
            prediction = steps.add(
                predict,
                SHARD,
                model=model.output,
                data=data.outputs["images"],
                batch_size=batch_size,
                shard=shard,
                num_shards=shards,
            )
        merged = steps.add(
            merge,
            MERGE,
            shards=dsl.Collected(prediction.outputs["predictions"]),
            labels=data.outputs["labels"],
            images=data.outputs["images"],
            model=model.output,
        )
        uploading = steps.add(
            upload,
            UPLOAD,
            predictions=merged.outputs["predictions"],
            destination_uri=destination_uri,
            s3_endpoint=s3_endpoint,
        )
        uploading.set_caching_options(False)  # what it is for happens outside the pipeline

    return mnist_batch_predict


PIPELINES: dict[str, Callable[[Target], Any]] = {
    "train": train_pipeline,
    "train_distributed": train_distributed_pipeline,
    "sweep": sweep_pipeline,
    "tune": tune_pipeline,
    "batch_predict": batch_predict_pipeline,
}

if __name__ == "__main__":
    from kfp_mnist_mxnet.cli.main import main

    main()
