from __future__ import annotations

import pytest
import torch
from torch import nn

from tellapart.pretraining.embeddings import RowGradientEmbedding, use_row_gradients
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.terms import Corrections

IDS = torch.tensor([[7, 9, 7, 0], [9, 30, 0, 0]])
BATCH = {
    "input_ids": IDS,
    "attention_mask": (IDS > 0).long(),
    "positions": torch.tensor([1, 5]),
    "labels": torch.tensor([11, 12]),
}


@pytest.mark.parametrize("family", ["bert", "albert", "distilbert", "electra", "modernbert", "xlm-roberta"])
@pytest.mark.parametrize("correction", ["none", "soft", "soft-sentence"])
def test_the_gradient_is_that_of_a_stock_table_and_dense(language_model, family, correction):
    found = []
    for by_rows in (False, True):
        module = MaskedLanguageModelling(language_model(family), Corrections.named(correction))
        if by_rows:
            module.row_gradients = use_row_gradients(module.model)
            assert module.row_gradients
        for _ in range(2):  # accumulated over two batches
            outputs = module(**BATCH)
            sum(outputs[name] for name in module.terms).backward()
        found.append({name: parameter.grad for name, parameter in module.named_parameters()})
    for name, gradient in found[0].items():
        assert (gradient is None) == (found[1][name] is None), name
        if gradient is not None:
            assert not found[1][name].is_sparse
            torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-5)


def test_a_table_of_its_own_stays_as_it_is(language_model):
    model = language_model(tie_word_embeddings=False)
    assert not use_row_gradients(model)
    assert type(model.get_input_embeddings()) is nn.Embedding


def test_the_table_does_not_claim_a_sparse_gradient(language_model):
    model = language_model()
    use_row_gradients(model)
    table = model.get_input_embeddings()
    assert isinstance(table, RowGradientEmbedding)
    assert not table.sparse
    table(torch.tensor([3, 3])).sum().backward()
    assert table.weight.grad.is_sparse  # what reaches the head's dense one
