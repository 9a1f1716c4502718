"""Seeing inside: the gradient through time, the gates, the reach of memory, and what is wrong."""

from recurnn.insight import figures
from recurnn.insight.course import Course
from recurnn.insight.decay import Decay, fit_decay
from recurnn.insight.dynamics import lyapunov, singular_values
from recurnn.insight.figure import Bars, Figure, Heatmap, Lines, Panels
from recurnn.insight.gates import GateReport, Values, gate_reports, observe, unit_values
from recurnn.insight.gradient import Flow, gradient_flow, sweep
from recurnn.insight.inspection import Inspection, inspect
from recurnn.insight.monitor import GradientWarning, Monitor
from recurnn.insight.reach import attributions, integrated_gradients, loss_by_context, occlusion
from recurnn.insight.record import Layer, Record
from recurnn.insight.tracking import text_features, time_features, tracking
from recurnn.insight.verdicts import Verdict, verdicts

__all__ = [
    "inspect", "Inspection", "verdicts", "Verdict",
    "gradient_flow", "sweep", "Flow", "Decay", "fit_decay",
    "lyapunov", "singular_values",
    "gate_reports", "GateReport", "Values", "observe", "unit_values",
    "occlusion", "integrated_gradients", "attributions", "loss_by_context",
    "tracking", "text_features", "time_features",
    "Record", "Layer", "Course", "Monitor", "GradientWarning",
    "figures", "Figure", "Lines", "Heatmap", "Bars", "Panels",
]  # fmt: skip
