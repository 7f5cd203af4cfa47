"""Helpers around layers, with PyTorch's names: ``rnn`` pads and packs sequences."""

from . import rnn

__all__ = ["rnn"]
