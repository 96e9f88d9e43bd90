"""A vision transformer. Source: Dosovitskiy et al., An Image is Worth 16x16 Words, 2020."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class VitConfig:
    """Sizes; the defaults are ViT-Tiny/16 at 224x224, 5.7 million parameters."""

    image: int = 224
    patch: int = 16
    layers: int = 12
    hidden: int = 192
    heads: int = 3
    classes: int = 1000


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each with layer normalisation before it and a shortcut."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.hidden, eps=1e-6)
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden)
        self.projection = nn.Linear(config.hidden, config.hidden)
        self.norm2 = nn.LayerNorm(config.hidden, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(config.hidden, 4 * config.hidden), nn.GELU(), nn.Linear(4 * config.hidden, config.hidden)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, T, hidden]."""
        x = x + self.projection(self._attend(self.norm1(x)))
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token, learned positions, blocks, classifier on the class token."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        tokens = (config.image // config.patch) ** 2 + 1
        self.patches = nn.Conv2d(3, config.hidden, config.patch, config.patch)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, config.hidden))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, config.hidden))
        self.blocks = nn.Sequential(*(TransformerBlock(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.hidden, eps=1e-6)
        self.head = nn.Linear(config.hidden, config.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, 3, image, image] float32 to logits [N, classes]."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(x.shape[0], -1, -1), patches), dim=1)
        return self.head(self.norm(self.blocks(tokens + self.positions))[:, 0])
