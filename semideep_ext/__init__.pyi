# The public names for type checkers, which cannot follow __getattr__ in __init__.py.
from semideep_ext.estimators.selection import (
    select_best_distance_metric as select_best_distance_metric,
)
from semideep_ext.estimators.skorch_nets import SampleWeightMixin as SampleWeightMixin
from semideep_ext.estimators.transformer import (
    DistanceWeightTransformer as DistanceWeightTransformer,
)
from semideep_ext.estimators.unlabeled import LabeledSplit as LabeledSplit
from semideep_ext.estimators.weighted import (
    DistanceWeightedClassifier as DistanceWeightedClassifier,
)
from semideep_ext.estimators.weighted import DistanceWeightedRegressor as DistanceWeightedRegressor
from semideep_ext.experiments.experiment import ExperimentRunner as ExperimentRunner
from semideep_ext.op.config import show_config as show_config
from semideep_ext.op.functional import distance_weights as distance_weights
from semideep_ext.op.functional import kernel_matmul as kernel_matmul
from semideep_ext.op.metrics import KERNELS as KERNELS
from semideep_ext.op.metrics import METRICS as METRICS
from semideep_ext.training.trainer import WeightedTrainer as WeightedTrainer
from semideep_ext.weighting.auto import auto_select_distance_metric as auto_select_distance_metric
from semideep_ext.weighting.diagnostics import WeightDiagnostics as WeightDiagnostics
from semideep_ext.weighting.diagnostics import WeightsWarning as WeightsWarning
from semideep_ext.weighting.diagnostics import diagnose_weights as diagnose_weights
from semideep_ext.weighting.losses import WeightedBCEWithLogitsLoss as WeightedBCEWithLogitsLoss
from semideep_ext.weighting.losses import WeightedCrossEntropyLoss as WeightedCrossEntropyLoss
from semideep_ext.weighting.losses import WeightedLoss as WeightedLoss
from semideep_ext.weighting.preprocessing import preprocess_features as preprocess_features
from semideep_ext.weighting.scales import median_lambda as median_lambda
from semideep_ext.weighting.weights import DistanceWeights as DistanceWeights
from semideep_ext.weighting.weights import WeightComputer as WeightComputer

__version__: str
