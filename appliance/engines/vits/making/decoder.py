"""Coqui's HiFi-GAN decoder, rearranged so that it runs fast in int8.

Owns: the rearrangement (two dimensions, polyphase upsampling, the mean folded into the next layer), how far
the decoder and the flow look around a frame, and that no layer computes what is thrown away in the end.
Refuses to know: files, graphs, text.

The numbers that come out are those of Coqui's module; a test and every import compare them.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from appliance.errors import ModelUnsupportedError

SLOPE, LAST_SLOPE = 0.1, 0.01
"""Of the leaky units, and of the one before the last layer. Source: HiFi-GAN, models.py; torch's default."""


class Polyphase(nn.Module):
    """A transposed convolution as an ordinary one, which the int8 kernels know.

    An input frame becomes `stride` frames, each a channel of its own until they are interleaved:
    of output n = q · stride + r, tap r + padding − offset · stride meets input q + offset.
    """

    def __init__(self, transposed: nn.ConvTranspose1d) -> None:
        """Take a layer with kernel = stride + 2 · padding.

        Raises:
            ModelUnsupportedError: The layer has another shape; its output isn't `stride` times as long.
        """
        super().__init__()
        (stride,), (padding,), (taps,) = transposed.stride, transposed.padding, transposed.kernel_size
        if taps != stride + 2 * padding or transposed.groups != 1 or transposed.dilation != (1,):
            raise ModelUnsupportedError(f"An upsampling layer has {taps} taps for a factor of {stride}")
        self.stride, self.channels = stride, transposed.out_channels
        reach = (stride - 1 + padding) // stride
        weight = torch.zeros(self.channels, stride, transposed.in_channels, 2 * reach + 1)
        for place, offset in enumerate(range(-reach, reach + 1)):
            for phase in range(stride):
                tap = phase + padding - offset * stride
                if 0 <= tap < taps:
                    weight[:, phase, :, place] = transposed.weight.data[:, :, tap].t()
        self.conv = nn.Conv2d(
            transposed.in_channels, self.channels * stride, (1, 2 * reach + 1), padding=(0, reach)
        )
        self.conv.weight.data = weight.flatten(0, 1).unsqueeze(2)
        bias = torch.zeros(self.channels) if transposed.bias is None else transposed.bias.data
        self.conv.bias.data = bias.repeat_interleave(stride)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return [1, channels, 1, t · stride] for [1, channels, 1, t]."""
        phases = self.conv(frames).reshape(1, self.channels, self.stride, -1)
        return phases.transpose(2, 3).reshape(1, self.channels, 1, -1)

    def scale(self, factor: float) -> None:
        """Multiply what comes out for the same input, apart from the bias."""
        self.conv.weight.data.mul_(factor)


class Decoder(nn.Module):
    """The decoder in two dimensions, the second of which is one frame high."""

    def __init__(self, generator: Any) -> None:
        """Rearrange a copy of Coqui's `HifiganGenerator`, of which weight norm was removed.

        Raises:
            ModelUnsupportedError: The generator has a layer of another kind.
        """
        super().__init__()
        generator = copy.deepcopy(generator)
        if hasattr(generator, "lin_pre") or generator.cond_in_each_up_layer:
            raise ModelUnsupportedError("The decoder has layers that VITS doesn't have")
        self.pre = _flat(generator.conv_pre)
        self.speaker = _flat(generator.cond_layer) if hasattr(generator, "cond_layer") else None
        self.ups = nn.ModuleList(Polyphase(layer) for layer in generator.ups)
        self.margins = _margins(generator)
        width = generator.num_kernels
        blocks = [_flatten(block) for block in generator.resblocks]
        self.stages = nn.ModuleList(
            nn.ModuleList(blocks[start : start + width]) for start in range(0, len(blocks), width)
        )
        self.post = _flat(generator.conv_post)
        # A leaky unit passes a positive factor on, so the mean of a stage's blocks needs no layer of its own.
        for layer in [*self.ups][1:]:
            layer.scale(1 / width)
        self.post.weight.data.mul_(1 / width)

    def forward(self, z: torch.Tensor, speaker: torch.Tensor | None, trim: torch.Tensor) -> torch.Tensor:
        """Return audio [1, 1, (t − trim) · hop] for frames [1, c, t] and a speaker's vector [1, g, 1].

        `trim` [2] are the first and last frames whose audio isn't wanted: as many as the decoder looks at, or
        all up to an end of the utterance.
        """
        frames = self.pre(z.unsqueeze(2))
        if self.speaker is not None and speaker is not None:
            frames = frames + self.speaker(speaker.unsqueeze(2))
        outer = trim
        for up, blocks, margin in zip(self.ups, self.stages, self.margins, strict=True):
            outer = outer * up.stride
            kept = torch.clamp(outer, max=margin)
            raised = _without(up(functional.leaky_relu(frames, SLOPE)), outer - kept)
            outer = kept
            frames = blocks[0](raised)
            for block in blocks[1:]:
                frames = frames + block(raised)
        audio = torch.tanh(self.post(functional.leaky_relu(frames, LAST_SLOPE)))
        return _without(audio, outer).squeeze(2)


def _without(frames: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
    """Return [1, c, 1, t] without so many at its beginning and at its end."""
    return frames[:, :, :, outer[0] : frames.shape[3] - outer[1]]


def _flat(layer: nn.Conv1d) -> nn.Conv2d:
    """Return the same convolution for inputs one frame high."""
    (taps,), (padding,), (dilation,) = layer.kernel_size, layer.padding, layer.dilation
    flat = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (1, taps),
        padding=(0, padding),
        dilation=(1, dilation),
        bias=layer.bias is not None,
    )
    flat.weight.data = layer.weight.data.unsqueeze(2)
    if layer.bias is not None:
        flat.bias.data = layer.bias.data
    return flat


def _flatten(block: nn.Module) -> nn.Module:
    """Replace every convolution inside a residual block; its own `forward` stays."""
    for name, child in list(block.named_children()):
        if isinstance(child, nn.Conv1d):
            setattr(block, name, _flat(child))
        else:
            _flatten(child)
    return block


def decoder_reach_frames(generator: Any) -> int:
    """Return how many frames on either side of a frame have a part in its audio."""
    return _margin_before(generator, 0, _margins(generator)[0]) + _layer_reach(generator.conv_pre)


def _margins(generator: Any) -> list[int]:
    """Return for each stage how many of its frames on either side of the wanted audio its blocks must get.

    Walks from the last layer to the first. A convolution looks dilation · (taps − 1) ÷ 2 further; of the
    blocks of a stage the widest counts. Of an upsampling by `s` with padding `p` and k = s + 2p taps, audio
    that begins `left` before a frame needs ⌊(left + k − 1 − p) ÷ s⌋ frames before it, and audio that ends
    `right` behind a frame needs ⌊(right + p − 1) ÷ s⌋ + 1 behind it; both are the same.
    Source: output n of a transposed convolution takes input t where 0 ≤ n + p − t · s < k.
    """
    margins: list[int] = []
    reach = _layer_reach(generator.conv_post)
    for number in reversed(range(len(generator.ups))):
        blocks = generator.resblocks[number * generator.num_kernels : (number + 1) * generator.num_kernels]
        margins.append(reach + max(sum(map(_layer_reach, _convolutions(block))) for block in blocks))
        reach = _margin_before(generator, number, margins[-1])
    return margins[::-1]


def _margin_before(generator: Any, number: int, margin: int) -> int:
    """Return how many frames an upsampling must get so that it gives as many as `margin`."""
    (stride,), (padding,) = generator.ups[number].stride, generator.ups[number].padding
    return int((margin + stride + padding - 1) // stride)


def flow_reach_frames(flow: Any) -> int:
    """Return the same for Coqui's `ResidualCouplingBlocks`, whose layers follow each other."""
    return sum(_layer_reach(layer) for block in flow.flows for layer in _convolutions(block))


def _convolutions(module: nn.Module) -> list[nn.Conv1d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv1d)]


def _layer_reach(layer: nn.Conv1d) -> int:
    return int(layer.dilation[0] * (layer.kernel_size[0] - 1) // 2)
