"""PyTorch's, Keras's and Optax's updates, with each library's own arguments and defaults.

`adamlab.compat.torch.adam(lr=1e-3, betas=(0.9, 0.999))` takes the arguments and defaults of
`torch.optim.Adam` and gives its exact update, to be used in any Optax loop.
"""

from adamlab.compat import keras, optax, torch

__all__ = ["keras", "optax", "torch"]
