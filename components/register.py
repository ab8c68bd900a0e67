"""An exported model to a registry."""

from kfp.dsl import Input, Metrics, Model

from kfp_mnist_mxnet.compiler.step import step


@step
def register(
    onnx_model: Input[Model],
    registry_uri: str,
    # Not `| None`: see export.
    metrics: Input[Metrics] = None,
    model_version: str = "",
) -> dict:
    """Register an exported model in a Kubeflow Model Registry.

    The registry gets its name, its version, its address in the object store, that of its card, and
    its figures. What is registered is never changed: the same model under the same version is left
    as it is, and a registration that was cut short is completed.

    Args:
        onnx_model: Directory, as export writes it; its name is that of the model.
        registry_uri: http(s)://host:port of the registry; empty to do nothing. Where the
            environment has KF_PIPELINES_SA_TOKEN_PATH, the token in that file is sent with each
            request.
        metrics: Metrics of the model, as evaluate logs them. Optional.
        model_version: Version to register; empty for the first 12 digits of the SHA-256 of the ONNX
            file.

    Returns:
        Output: Name, version, address, and the registry's ids of model, version and artifact;
            empty if it was skipped.

    Raises:
        ValueError: The directory has no exported model, registry_uri is no such address, the
            version is there with another model, or the registry refuses.
        ConnectionError: The registry does not answer.
    """
    import logging

    if not registry_uri:
        logging.info("skipped: registry_uri is not set")
        return {}
    if left_out := onnx_model.metadata.get("left_out", ""):
        logging.info("skipped: %s is false", left_out)
        return {}

    from kfp_mnist_mxnet.export.registration import entry_of, register_model

    figures = metrics.metadata if metrics else {}
    entry = entry_of(onnx_model.path, onnx_model.uri, model_version, figures)
    registered = register_model(registry_uri, entry)
    logging.info("%s has %s, version %s", registry_uri, entry.name, entry.version)
    return registered
