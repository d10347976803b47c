"""The rearranged decoder and the context that it needs, against Coqui's own modules."""

import pytest

torch = pytest.importorskip("torch", reason="needs torch, Coqui and the extras neural and coqui")
pytest.importorskip("coqpit", reason="needs Coqui, which only our shim can import")
pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

SHAPES = {
    "vits": ("1", [16, 16, 4, 4], [8, 8, 2, 2], [3, 7, 11]),
    "small": ("2", [8, 8, 4], [4, 4, 2], [3, 5]),
    "without-overlap": ("1", [8, 8], [8, 8], [3]),
    "wide-taps": ("1", [20, 14], [4, 2], [3]),
}


@pytest.fixture(params=sorted(SHAPES))
def generator(request):
    from appliance.engines.coqui.library import import_coqui

    import_coqui()
    from torch.nn.utils import parametrize
    from TTS.vocoder.models.hifigan_generator import HifiganGenerator

    kind, taps, factors, kernels = SHAPES[request.param]
    dilations = [[1, 3, 5] if kind == "1" else [1, 3]] * len(kernels)
    torch.manual_seed(5)
    made = HifiganGenerator(16, 1, kind, dilations, kernels, taps, 32, factors, 0, cond_channels=6)
    for module in made.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return made.eval()


def make_positive(module) -> None:
    """Have every weight positive, so that no path cancels another, and small, so that nothing saturates."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.fill_(0.1 * parameter.shape[0] / parameter.numel())


def test_decoder_when_rearranged_then_computes_the_same(generator) -> None:
    from appliance.engines.vits.making.decoder import Decoder

    z, speaker = torch.randn(1, 16, 21), torch.randn(1, 6, 1)
    with torch.inference_mode():
        wanted, found = generator(z, g=speaker), Decoder(generator)(z, speaker, torch.tensor([0, 0]))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("place", ["within", "at the beginning", "at the end", "near the beginning"])
def test_decoder_when_some_audio_is_not_wanted_then_the_rest_is_the_same_for_less_work(
    generator, place
) -> None:
    """With positive weights nothing that is missing can be made up for by something else."""
    from appliance.engines.vits.making.decoder import Decoder, decoder_reach_frames

    make_positive(generator)
    with torch.no_grad():
        generator.conv_post.weight.mul_(1e-6)
    reach = decoder_reach_frames(generator)
    before = {"at the beginning": 0, "near the beginning": 2}.get(place, reach)
    behind = 0 if place == "at the end" else reach
    decoder, sizes = Decoder(generator).double(), []
    for block in (block for stage in decoder.stages for block in stage):
        block.register_forward_hook(lambda _block, given, _made: sizes.append(given[0].shape[3]))
    z = torch.rand(1, 16, before + 9 + behind, dtype=torch.float64)
    speaker = torch.rand(1, 6, 1, dtype=torch.float64)
    with torch.inference_mode():
        wanted = decoder(z, speaker, torch.tensor([0, 0]))
        hop = wanted.shape[2] // z.shape[2]
        whole = sizes.copy()
        sizes.clear()
        found = decoder(z, speaker, torch.tensor([before, behind]))
    torch.testing.assert_close(found, wanted[:, :, before * hop : (before + 9) * hop], atol=0, rtol=1e-10)
    assert sum(sizes) < sum(whole)
    assert all(size <= all_of_it for size, all_of_it in zip(sizes, whole, strict=True))


def poison_paddings(decoder) -> None:
    """Have every layer see something huge beyond the ends of its input, in place of nothing."""
    for layer in decoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            (_, beside), layer.padding = layer.padding, (0, 0)
            pads = (beside, beside)
            layer.register_forward_pre_hook(
                lambda _layer, given, pads=pads: torch.nn.functional.pad(given[0], pads, value=1e200)
            )


@pytest.mark.parametrize("lack", [0, 1])
def test_decoder_when_its_last_margin_is_smaller_then_the_ends_of_windows_are_heard(generator, lack) -> None:
    """As it is, no window's end has a part in the audio that is kept, in no layer."""
    from appliance.engines.vits.making.decoder import Decoder, decoder_reach_frames

    make_positive(generator)
    with torch.no_grad():
        generator.conv_post.weight.mul_(1e-6)
    reach, decoder = decoder_reach_frames(generator), Decoder(generator).double()
    poison_paddings(decoder)
    decoder.margins[-1] -= lack
    z = torch.rand(1, 16, 2 * reach + 9, dtype=torch.float64)
    with torch.inference_mode():
        audio = decoder(z, torch.rand(1, 6, 1, dtype=torch.float64), torch.tensor([reach, reach]))
    assert (float(audio.abs().max()) > 0.9) == bool(lack)


@pytest.mark.parametrize("side", ["before", "behind"])
def test_decoder_reach_when_computed_then_exactly_the_frames_that_matter(generator, side) -> None:
    """Gradients show what one frame's audio depends on: nothing beyond the reach, and something at it."""
    from appliance.engines.vits.making.decoder import decoder_reach_frames

    reach = decoder_reach_frames(generator)
    make_positive(generator)
    with torch.no_grad():
        generator.conv_post.weight.mul_(1e-6)
    middle, frames = reach + 3, 2 * reach + 7
    z = torch.ones(1, 16, frames, dtype=torch.float64, requires_grad=True)
    audio = generator(z, g=torch.zeros(1, 6, 1, dtype=torch.float64))
    hop = audio.shape[2] // frames
    audio[0, 0, middle * hop : (middle + 1) * hop].sum().backward()
    touched = torch.nonzero(z.grad.abs().sum((0, 1))).ravel().tolist()
    found = middle - touched[0] if side == "before" else touched[-1] - middle
    assert found == reach


def test_upsampling_when_its_taps_leave_a_remainder_then_it_is_refused() -> None:
    from appliance.engines.vits.making.decoder import Polyphase
    from appliance.errors import ModelUnsupportedError

    with pytest.raises(ModelUnsupportedError, match="7 taps for a factor of 4"):
        Polyphase(torch.nn.ConvTranspose1d(4, 4, 7, 4, padding=1))


def test_flow_reach_when_computed_then_exactly_the_frames_that_matter() -> None:
    from appliance.engines.coqui.library import import_coqui

    import_coqui()
    from TTS.tts.layers.vits.networks import ResidualCouplingBlocks

    from appliance.engines.vits.making.decoder import flow_reach_frames

    torch.manual_seed(5)
    flow = ResidualCouplingBlocks(4, 8, 5, 2, 3, num_flows=4)
    make_positive(flow)
    reach = flow_reach_frames(flow)
    z_p = torch.zeros(1, 4, 2 * reach + 7, dtype=torch.float64, requires_grad=True)
    z = flow(z_p, torch.ones(1, 1, z_p.shape[2], dtype=torch.float64), reverse=True)
    z[0, :, reach + 3].abs().sum().backward()
    touched = torch.nonzero(z_p.grad.abs().sum((0, 1))).ravel().tolist()
    assert (touched[0], touched[-1]) == (3, 2 * reach + 3)
