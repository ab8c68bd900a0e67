"""The Experiment that Katib runs.

Its API: https://www.kubeflow.org/docs/components/katib/reference/
"""

from kfp_mnist_mxnet.cluster.api import Cluster, Kind, Object
from kfp_mnist_mxnet.cluster.job import LABELS, metadata
from kfp_mnist_mxnet.cluster.pod import NO_SIDECAR, command, environment, pod_spec
from kfp_mnist_mxnet.training.assignment import Assignment
from kfp_mnist_mxnet.tuning.options import Options
from kfp_mnist_mxnet.tuning.space import Space, katib_parameters, template
from kfp_mnist_mxnet.tuning.trial import PROGRAM

GROUP, VERSION = "kubeflow.org", "v1beta1"
NEEDED = "install Katib, or run the pipeline sweep, which needs none"
# While an Experiment is there Katib makes its trials again, and so would keep it there for ever.
EXPERIMENT = Kind(GROUP, VERSION, "experiments", NEEDED, propagation="Background")
SUGGESTION = Kind(GROUP, VERSION, "suggestions", NEEDED)
TRIAL = Kind(GROUP, VERSION, "trials", NEEDED)
LABEL = "katib.kubeflow.org/experiment"  # whose object or pod it is
CONTAINER = "trial"
COLLECTOR = "metrics-logger-and-collector"  # which Katib puts beside it
METRIC = "Validation-accuracy"


def experiment(
    cluster: Cluster, name: str, assignment: Assignment, options: Options, space: Space
) -> Object:
    """Return an Experiment whose trials are Jobs of one pod, none of which is replaced."""
    values = [{"name": name, "reference": name} for name in space]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        "metadata": metadata(cluster, name),
        "spec": {
            "objective": {
                "type": "maximize",
                "objectiveMetricName": METRIC,
                # The model is that of the last epoch, as is the accuracy by which it is chosen.
                "metricStrategies": [{"name": METRIC, "value": "latest"}],
            },
            "algorithm": {"algorithmName": options.algorithm},
            "maxTrialCount": options.max_trials,
            # Katib takes no more than there are trials, and gives up at so many that failed.
            "parallelTrialCount": min(options.parallel_trials, options.max_trials),
            "maxFailedTrialCount": min(options.max_failed_trials + 1, options.max_trials),
            "resumePolicy": "Never",
            "parameters": katib_parameters(space),
            "trialTemplate": {
                "retain": True,  # so that a pod that failed can be asked why
                "primaryContainerName": CONTAINER,
                "trialParameters": [*values, {"name": "name", "reference": "${trialSpec.Name}"}],
                "trialSpec": trial_job(cluster, name, assignment, options, space),
            },
        },
    }


def trial_job(
    cluster: Cluster, experiment: str, assignment: Assignment, options: Options, space: Space
) -> Object:
    """Return the Job of a trial, with what Katib replaces for each; experiment: its name.

    Katib joins the words of a command by spaces, for a shell that writes the log to a file. Only a
    line that is the shell's already stays as it is: so the words are variables there.
    """
    words = command(cluster.container, *PROGRAM)
    variables = {f"WORD_{i}": word for i, word in enumerate(words)}
    told = {
        "ASSIGNMENT": assignment.to_json(),
        "HYPERPARAMETERS": template(space),
        "TRIAL_NAME": "${trialParameters.name}",
        **variables,
    }
    container = {
        "name": CONTAINER,
        "command": ["sh", "-c", " ".join(f'"${variable}"' for variable in variables)],
        "env": environment(cluster, told),
        "resources": options.resources,
    }
    spec = pod_spec(cluster, container, {}, options.tolerations)
    labels = {**LABELS, LABEL: experiment}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels, "annotations": NO_SIDECAR}, "spec": spec},
        },
    }
