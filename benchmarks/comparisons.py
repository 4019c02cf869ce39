"""The comparisons that have a page of evidence."""

from __future__ import annotations

# A comparison's JSON in benchmarks/results, its heading, the command that made it, and what to know of it.
COMPARISONS = {
    "banking77-few-shot": (
        "banking77, 8 texts a class: 77 look-alike intents",
        "tellapart compare banking77 --few-shot 8 --max-length 64 --epochs 5 --trials 3 --methods "
        "frozen,benchmarks/recipes/cross-entropy-stock-pooling.yaml,"
        "benchmarks/recipes/cross-entropy-random-start.yaml,cross-entropy,negative-supervision,"
        "negative-supervision-am,negative-supervision-ace,label-distance,r-drop,supcon,tfidf "
        "--output runs/banking77-few-shot",
        "Every method learns from the same 616 texts of a seed for five epochs and is measured on all test "
        "texts. `frozen` is a logistic regression on the encoder's mean-pooled vectors. Read with care: the "
        "regression's C of 10 and the start from it were first tried on test texts of this very set (seed 0), "
        "which can flatter `frozen` and every method that starts from the regression.",
    ),
    "demo": (
        "The demonstration: R52, 5 texts a class",
        "make demo",
        "The topics of newswire stories, some of which hardly differ in their words.",
    ),
    "two-stages-wikiqa": (
        "Two stages on WikiQA: sentences that answer a question",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-wikiqa",
        "A ranking set; questions without an answering sentence are left out of the ranking metrics.",
    ),
    "two-stages-mrpc": (
        "Two stages on MRPC: pairs of sentences that say the same",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-mrpc",
        "A pair set with the split of the original corpus.",
    ),
    "two-stages-nlpcc2016_kbqa_pairs": (
        "Two stages on NLPCC-2016 KBQA: relations that a Chinese question asks for",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-nlpcc2016_kbqa_pairs",
        "A ranking set with five random wrong relations a question, a seeded slice of it. The encoder is a small "
        "BERT without any pre-training, so the figures say what the second stage changes, not what a Chinese "
        "encoder reaches.",
    ),
    "two-stages-chnsenticorp": (
        "Two stages on ChnSentiCorp: Chinese hotel reviews",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-chnsenticorp",
        "A seeded slice of 3,000 training texts; 331 of the 1,200 test texts are also in the whole training split. "
        "The encoder is a small BERT without any pre-training, so the figures say what the second stage changes, not "
        "what a Chinese encoder reaches.",
    ),
    "han-arxiv": (
        "HAN on abstracts: several labels a document",
        "python benchmarks/method_comparisons.py han-arxiv",
        "A set of computer science abstracts made like AAPD, which it is not: 1,500 training and 1,000 test "
        "documents a seed, twelve epochs at a rate of 2e-3, 54 labels. CBOW embeddings, all other "
        "weights start at random.",
    ),
    "han-reuters": (
        "HAN on Reuters news: several topics a document",
        "python benchmarks/method_comparisons.py han-reuters",
        "1,500 training and 1,000 test documents of the ModApte split a seed, twelve epochs at a rate of 2e-3, 90 "
        "topics of very different size. CBOW embeddings, all other weights start at random.",
    ),
    "textcnn-trec6": (
        "TextCNN on TREC: questions by the kind of their answer",
        "python benchmarks/method_comparisons.py textcnn-trec6",
        "All rows; a tenth of the training rows validates. The encoder starts from random weights.",
    ),
    "textcnn-r8": (
        "TextCNN on R8: news by topic",
        "python benchmarks/method_comparisons.py textcnn-r8",
        "All rows; a tenth of the training rows validates. The encoder starts from random weights.",
    ),
    "ordered-sst5": (
        "SST-5, 40 texts a class: five ordered classes",
        "python benchmarks/method_comparisons.py ordered-sst5",
        "Sentences of film reviews from very negative to very positive. The two methods with a prior know the order: "
        "they push classes harder the farther apart they are in it. Two test rows are also in train.",
    ),
    "textcnn-chnsenticorp": (
        "TextCNN on ChnSentiCorp: Chinese reviews",
        "python benchmarks/method_comparisons.py textcnn-chnsenticorp",
        "All rows. 331 of the 1,200 test texts are also in the training split: the table gives the score on the "
        "others too. The encoder starts from random weights, its subwords are learned from the training texts.",
    ),
}
