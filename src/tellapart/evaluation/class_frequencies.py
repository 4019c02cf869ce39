"""Class frequencies (priors) of unlabelled texts under label shift, estimated from a classifier's probabilities."""

from __future__ import annotations

import numpy as np

PRIOR_TEXTS = 5
"""Texts per class, at the frequencies of training, that count in the estimate beside those that are there."""

_STEPS, _CLOSE = 1_000, 1e-6  # the most steps; the change (sum over classes) at which they end


def estimated_frequencies(chances: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Estimates class frequencies by expectation maximisation.

    Probabilities hold for the class frequencies with which the classifier was trained. They are multiplied by the
    ratio of the estimate to these frequencies and divided by their sum; the mean over the texts is the next estimate.
    `PRIOR_TEXTS` further texts per class with the frequencies of training count in the mean (a Dirichlet prior), so
    that no estimate is 0.

    Args:
        chances: Calibrated probabilities of the N texts (N, K); rows sum to 1.
        trained: Class frequencies in training (K,), all above 0, with the sum 1.

    Returns:
        Frequencies (K,), all above 0, with the sum 1; those of training if there are no texts.

    References:
        - Saerens et al. 2002, Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple
          Procedure, Neural Computation 14(1): expectation maximisation of the likelihood.
        - Alexandari et al. 2020, Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift
          Adaptation, arXiv 1901.06852: that it needs calibrated probabilities.
    """
    exact = np.asarray(chances, dtype=np.float64)
    prior = PRIOR_TEXTS * len(trained)
    found = np.asarray(trained, dtype=np.float64)
    for _ in range(_STEPS):
        ratio = found / trained
        expected = ratio * ((1 / (exact @ ratio)) @ exact)  # number of texts of each class
        after = (expected + prior * trained) / (len(exact) + prior)
        change = np.abs(after - found).sum()
        found = after
        if change < _CLOSE:
            break
    return found / found.sum()
