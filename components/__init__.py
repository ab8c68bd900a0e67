"""Kubeflow Pipelines components that ingest IDX images, train a CNN, evaluate it and predict."""

from typing import Any

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

__all__ = [
    "compare",
    "evaluate",
    "export",
    "ingest",
    "ingest_images",
    "merge",
    "plan",
    "predict",
    "register",
    "train",
    "train_distributed",
    "tune",
    "upload",
]

COMPONENTS: dict[str, Any] = {name: globals()[name] for name in __all__}
