"""Where tensors live."""

import torch


def device() -> torch.device:
    """The graphics processor if there is one that PyTorch can use, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
