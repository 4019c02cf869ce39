from __future__ import annotations

import pytest

from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.sizes import parameters_a_token
from tellapart.encoders.transformer import parameter_count
from tellapart.reproduction.protocols import protocols


def bert(hidden: int, inner: int, layers: int) -> int:
    """Four square layers of attention, two of the feed-forward part, their biases and norms; the pooler."""
    attention = 4 * (hidden * hidden + hidden)
    feed_forward = hidden * inner + inner + inner * hidden + hidden
    norms = 2 * 2 * hidden
    return layers * (attention + feed_forward + norms) + hidden * hidden + hidden + 2 * hidden


def test_a_folder_has_the_parameters_that_its_model_has(tiny_encoder):
    model = load_encoder(tiny_encoder, LabelSpace(("a", "b")), pooling="stock")
    assert parameters_a_token(tiny_encoder) == parameter_count(model) == bert(32, 64, 2)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        ("minilm", bert(384, 1536, 6)),
        ("google-bert/bert-base-uncased", bert(768, 3072, 12)),
        ("hfl/chinese-macbert-large", bert(1024, 4096, 24)),
        # embeddings of 128, brought to 256; no pooler
        (
            "google/electra-small-discriminator",
            bert(256, 1024, 12) - 256 * 257 - 2 * 256 + 2 * 128 + 129 * 256,
        ),
        # widths 3, 4 and 5, a hundred filters each, on 300 dimensions
        ("textcnn", (3 + 4 + 5) * 300 * 100 + 300),
    ],
)
def test_a_published_encoder_has_the_size_that_its_config_gives(encoder, expected):
    assert parameters_a_token(encoder) == expected


def test_embeddings_of_another_width_make_another_textcnn():
    assert parameters_a_token("textcnn", 50) == (3 + 4 + 5) * 50 * 100 + 300


def test_layers_that_share_their_parameters_all_count():
    layers = bert(768, 3072, 12) - 768 * 769 - 2 * 768
    assert parameters_a_token("albert/albert-base-v2") == layers + 768 * 769 + 2 * 128 + 129 * 768


@pytest.mark.parametrize("encoder", ["nobody/has-this", "no-such-encoder", "./nowhere"])
def test_the_size_of_an_encoder_that_is_not_there_is_not_known(encoder):
    assert parameters_a_token(encoder) is None


def test_every_encoder_of_the_tables_has_a_size():
    names = {name for protocol in protocols().values() for name in protocol.encoders.values()}
    assert not {name for name in names if parameters_a_token(name) is None}
