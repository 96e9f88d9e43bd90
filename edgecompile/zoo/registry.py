"""Names of the zoo to functions that build a network and its example inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from edgecompile.zoo import minilm
from edgecompile.zoo.bert import BertConfig, BertEncoder
from edgecompile.zoo.initialize import initialize
from edgecompile.zoo.keyword_spotting import KeywordSpottingNet
from edgecompile.zoo.mobilenet import MobileNetV2, small_mobilenet
from edgecompile.zoo.resnet import resnet18, small_resnet
from edgecompile.zoo.vgg import VGG16, SmallVGG
from edgecompile.zoo.vit import VisionTransformer, VitConfig

Built = tuple[nn.Module, tuple[torch.Tensor, ...]]


def _image_network(make: Callable[[], nn.Module], *shape: int) -> Callable[[], Built]:
    """A network of one float input, its example drawn from the standard normal distribution."""

    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = initialize(make())
            return module.eval(), (torch.randn(*shape),)

    return build


def _language_network(config: BertConfig, make: Callable[[BertConfig], nn.Module] = BertEncoder) -> Callable[[], Built]:
    """A network of token numbers and a mask; the example's last quarter is padding."""

    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = initialize(make(config))
            tokens = torch.randint(0, config.vocabulary, (1, config.tokens))
            mask = (torch.arange(config.tokens) < config.tokens * 3 // 4).to(torch.int64)[None]
            return module.eval(), (tokens, mask)

    return build


BUILDERS: dict[str, Callable[[], Built]] = {
    "bert": _language_network(BertConfig()),
    "bert_tiny": _language_network(
        BertConfig(layers=2, hidden=64, heads=2, feed_forward=128, vocabulary=1000, tokens=32)
    ),
    "digits_mobilenet": _image_network(small_mobilenet, 1, 1, 32, 32),
    "digits_resnet": _image_network(small_resnet, 1, 1, 32, 32),
    "digits_vgg": _image_network(SmallVGG, 1, 1, 32, 32),
    "keyword_spotting": _image_network(KeywordSpottingNet, 1, 1, 49, 10),
    "minilm": _language_network(minilm.CONFIG, minilm.SentenceEncoder),
    "mobilenetv2": _image_network(MobileNetV2, 1, 3, 224, 224),
    "resnet18": _image_network(resnet18, 1, 3, 224, 224),
    "vgg16": _image_network(VGG16, 1, 3, 224, 224),
    "vit_tiny": _image_network(lambda: VisionTransformer(VitConfig()), 1, 3, 224, 224),
}
