"""A model to ONNX."""

from kfp.dsl import HTML, Dataset, Input, Markdown, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def export(
    model: Input[Model],
    onnx_model: Output[Model],
    model_card: Output[Markdown],
    metrics: Output[Metrics],
    export_report: Output[HTML],
    # Not `| None`: a back end does not say of what type an input is, and kfp's executor then makes
    # what the annotation says.
    data: Input[Dataset] = None,
    model_name: str = "mnist",
    class_names: list[str] = [],
    export_onnx: bool = True,
    license: str = "",
    owner: str = "",
    contact: str = "",
):
    """Export a model to ONNX, and check that it predicts the same.

    The ONNX model takes uint8 images (N, C, H, W) and gives probabilities, float32 (N, classes),
    for any N; it needs neither MXNet nor this suite. ONNX Runtime and MXNet predict the same
    images: every class must be the same, but for ties, and no probability may differ by more than
    1e-4.

    Args:
        model: Model directory, as train writes it.
        data: Images that both predict; with labels the model card has scores. Optional: without
            data both predict synthetic images.
        model_name: Name of the served model and of its directory.
        class_names: Name of each class; empty for what the model and the data call them.
        export_onnx: False to do nothing, for a pipeline that leaves the choice to a parameter.
        license: License of the model, for its card: an identifier of SPDX in lower case, as Hugging
            Face lists them, such as apache-2.0; empty to leave it open.
        owner: Person or organisation responsible for the model, for its card.
        contact: Where to reach them, such as an e-mail address, for its card.

    Returns:
        onnx_model: Directory that Triton and OpenVINO Model Server load as it is:
            <model_name>/1/model.onnx, and what they need beside it.
        model_card: What the model is, how it is used, what it is for, its scores, how it was
            trained, in Markdown with the metadata of Hugging Face.
        metrics: The largest difference of a probability, the size, the speed, and the median and
            95th percentile of the latency for one image at a time.
        export_report: The comparison with the MXNet model, the network in ONNX, and the files.

    Raises:
        ValueError: The model or the data can't be read, the image shapes differ, a parameter is out
            of range, an operator has no translation, or the ONNX model is not the same.
    """
    import logging

    if not export_onnx:
        logging.info("skipped: export_onnx is false")
        onnx_model.metadata["left_out"] = "export_onnx"
        return

    from kfp_mnist_mxnet.data.class_names import known_names
    from kfp_mnist_mxnet.export.card import Card
    from kfp_mnist_mxnet.export.layout import CARD_FILE, check_model_name, write_model
    from kfp_mnist_mxnet.export.translation import translate
    from kfp_mnist_mxnet.export.verification import check_parity, read_sample
    from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.reports.export import write_export_report
    from kfp_mnist_mxnet.storage.staging import staged

    check_model_name(model_name)
    predictor = Predictor(model.path, BATCH_SIZE)
    info = predictor.info
    sample = read_sample(data.path if data else "", info.input_shape)
    predictor.check_images(sample.images)
    known = info.num_classes
    total = max(known, sample.num_classes)
    names = known_names(class_names, total, info.class_names, sample.class_names)

    network = translate(predictor.modules[0], info, names[:known])
    with staged(onnx_model, model_card, export_report) as (directory, card_file, page):
        content = network.SerializeToString(deterministic=True)
        file = write_model(directory, model_name, content, info.input_shape, names[:known])
        parity = check_parity(file, predictor, sample.images)
        stated = {"license": license, "owner": owner, "contact": contact}
        card = Card(model_name, info, names, sample, parity, stated).text()
        for path in (card_file, directory / model_name / CARD_FILE):
            path.write_text(card, encoding="utf-8", errors="replace")
        write_export_report(page, directory, network, sample, parity, names[:known])
    for name, value in parity.metrics().items():
        metrics.log_metric(name, value)
    metrics.log_metric("bytes", network.ByteSize())
    onnx_model.framework = "onnx"
