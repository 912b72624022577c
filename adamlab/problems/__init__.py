"""What is trained: the `Problem` contract and the problems that come with the library."""

from adamlab.problems._problem import Problem
from adamlab.problems.digits import digits_mlp
from adamlab.problems.functions import quadratic, rosenbrock
from adamlab.problems.reddi import reddi, reddi_stochastic

__all__ = ["Problem", "digits_mlp", "quadratic", "reddi", "reddi_stochastic", "rosenbrock"]
