from recurnn.insight.decay import Decay, fit_decay
from recurnn.insight.dynamics import lyapunov, singular_values
from recurnn.insight.gradient import Flow, gradient_flow, sweep
from recurnn.insight.record import Layer, Record
