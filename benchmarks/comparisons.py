"""Comparisons with a page of evidence: title, command and remark."""

from __future__ import annotations

# Name of the JSON file in benchmarks/results: title, command, and remark.
COMPARISONS = {
    "banking77-few-shot": (
        "banking77, 8 texts per class: 77 look-alike intents",
        "tellapart compare banking77 --few-shot 8 --max-length 64 --epochs 5 --trials 3 --methods "
        "frozen,benchmarks/recipes/cross-entropy-stock-pooling.yaml,"
        "benchmarks/recipes/cross-entropy-random-start.yaml,cross-entropy,negative-supervision,"
        "negative-supervision-am,negative-supervision-ace,label-distance,r-drop,supcon,tfidf "
        "--output runs/banking77-few-shot",
        "For each seed, every method is trained on the same 616 texts for five epochs and evaluated on all test "
        "texts. `frozen` is a logistic regression on the encoder's mean-pooled vectors. Caution: the regression's C "
        "of 10 and the initialisation with it were first tried on test texts of this data set (seed 0), which can "
        "favour `frozen` and every method that starts from the regression.",
    ),
    "demo": (
        "The demonstration: R52, 5 texts per class",
        "make demo",
        "Topics of newswire stories, some of which hardly differ in their words.",
    ),
    "two-stages-wikiqa": (
        "Two stages on WikiQA: sentences that answer a question",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-wikiqa",
        "A ranking set; questions without an answering sentence are excluded from the ranking metrics.",
    ),
    "two-stages-mrpc": (
        "Two stages on MRPC: paraphrases",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-mrpc",
        "Pairs of sentences, with the original split.",
    ),
    "two-stages-nlpcc2016_kbqa_pairs": (
        "Two stages on NLPCC-2016 KBQA: relations in Chinese questions",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-nlpcc2016_kbqa_pairs",
        "A ranking set with five random wrong relations per question; a seeded sample. The encoder is a small BERT "
        "without pre-training, so the figures show the effect of the second stage, not the performance of a Chinese "
        "encoder.",
    ),
    "two-stages-chnsenticorp": (
        "Two stages on ChnSentiCorp: Chinese hotel reviews",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py two-stages-chnsenticorp",
        "A seeded sample of 3,000 training texts; 331 of the 1,200 test texts are also in the full training split. "
        "The encoder is a small BERT without pre-training, so the figures show the effect of the second stage, not "
        "the performance of a Chinese encoder.",
    ),
    "han-arxiv": (
        "HAN on abstracts: several labels per document",
        "python benchmarks/method_comparisons.py han-arxiv",
        "Computer science abstracts, constructed like AAPD but not identical to it: 1,500 training and 1,000 test "
        "documents per seed, twelve epochs at a learning rate of 2e-3, 54 labels. CBOW embeddings; all other weights "
        "are initialised at random.",
    ),
    "han-reuters": (
        "HAN on Reuters news: several topics per document",
        "python benchmarks/method_comparisons.py han-reuters",
        "1,500 training and 1,000 test documents of the ModApte split per seed, twelve epochs at a learning rate of "
        "2e-3, 90 topics of very different size. CBOW embeddings; all other weights are initialised at random.",
    ),
    "textcnn-trec6": (
        "TextCNN on TREC: questions by the kind of their answer",
        "python benchmarks/method_comparisons.py textcnn-trec6",
        "All rows; 10 % of the training rows are used for validation. The encoder is initialised at random.",
    ),
    "textcnn-r8": (
        "TextCNN on R8: news by topic",
        "python benchmarks/method_comparisons.py textcnn-r8",
        "All rows; 10 % of the training rows are used for validation. The encoder is initialised at random.",
    ),
    "ordered-sst5": (
        "SST-5, 40 texts per class: five ordered classes",
        "python benchmarks/method_comparisons.py ordered-sst5",
        "Sentences of film reviews from very negative to very positive. The two methods with a prior use the order: "
        "they push classes harder the farther apart they are. Two test rows are also in train.",
    ),
    "textcnn-chnsenticorp": (
        "TextCNN on ChnSentiCorp: Chinese reviews",
        "python benchmarks/method_comparisons.py textcnn-chnsenticorp",
        "All rows. 331 of the 1,200 test texts are also in the training split: the table also has the score on the "
        "others. The encoder is initialised at random; its subwords are learned from the training texts.",
    ),
    "late-views-trec6": (
        "Views that part late: CLLD on TREC, 20 texts per class",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py late-views-trec6 --trials 5",
        "CLLD reads each text twice, with dropout of its own. With `views_from_layer` the two views share the lower "
        "layers of the six and part at that layer, which costs less ([cost of a step](objective-overhead.md)).",
    ),
    "late-views-banking77": (
        "Views that part late: CLLD on banking77, 5 texts per class",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py late-views-banking77 --trials 5",
        "As on TREC. The machine had other work besides: the seconds cannot be compared.",
    ),
    "upper-layers-trec6": (
        "Training the upper layers alone: cross entropy on TREC, 20 texts per class",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py upper-layers-trec6 --trials 5",
        "`learns` freezes the embeddings and the lower layers of the six, which then need no backward pass. The "
        "machine had other work besides: the seconds cannot be compared.",
    ),
    "upper-layers-banking77": (
        "Training the upper layers alone: cross entropy on banking77, 5 texts per class",
        "OMP_NUM_THREADS=1 python benchmarks/method_comparisons.py upper-layers-banking77 --trials 5",
        "As on TREC.",
    ),
}
