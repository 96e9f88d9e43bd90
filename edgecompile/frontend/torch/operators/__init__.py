"""One file per operator family; importing the package registers every converter."""

from edgecompile.frontend.torch.operators import (  # noqa: F401
    activation,
    arithmetic,
    attention,
    comparison,
    convolution,
    creation,
    indexing,
    linear,
    normalization,
    pooling,
    reduction,
    resize,
    shaping,
    symbolic,
)
