"""Chinese sets."""

from __future__ import annotations

from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles, PublishersSource
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import ClassFolders, LineFile, TableFile
from tellapart.data.reading.hub import HubSource

_TNEWS_NAMES = {
    "100": "news_story",
    "101": "news_culture",
    "102": "news_entertainment",
    "103": "news_sports",
    "104": "news_finance",
    "106": "news_house",
    "107": "news_car",
    "108": "news_edu",
    "109": "news_tech",
    "110": "news_military",
    "112": "news_travel",
    "113": "news_world",
    "114": "news_stock",
    "115": "news_agriculture",
    "116": "news_game",
}
_YES_NO = {"0": "0", "1": "1"}
_POLARITY = {"0": "negative", "1": "positive"}

_PAIR_NAMES = {
    "text": ("text_a", "sentence1", "text"),
    "text_pair": ("text_b", "sentence2", "text_pair"),
    "label": ("label", "gold_label"),
}
_QUESTION_LINES = LineFile(
    {"text": ("question", "text_a"), "text_pair": ("answer", "text_b"), "label": ("label",)},
    (("text", "text_pair", "label"),),
    _YES_NO,
    group_questions=True,
)
# the test rows of some editions are handed out without labels
_PAIR_LINES = LineFile(_PAIR_NAMES, (("text", "text_pair", "label"), ("text", "text_pair")), _YES_NO)
_PAIR_JSON = TableFile(Columns("sentence1", "sentence2", "gold_label"), "JSON Lines", _YES_NO)
_PAIR_CSV = TableFile(Columns("sentence1", "sentence2", "label"), "CSV", _YES_NO)


def _splits(train: str, validation: str, test: str) -> dict[str, tuple[str, ...]]:
    return {
        "train": (f"**/{train}",),
        "validation": (f"**/{validation}",),
        "test": (f"**/{test}",),
    }


CHINESE = (
    BenchmarkSet(
        name="tnews",
        task="single label",
        description="Chinese news titles, 15 topics",
        classes=15,
        sizes={"train": 53_360, "validation": 10_000},
        source=HubSource(
            "clue/clue",
            Columns("sentence", label="label"),
            "tnews",
            _TNEWS_NAMES,
            splits={"train": "train", "validation": "validation"},
        ),
        license="not stated",
        citation="Xu et al. 2020, CLUE, arXiv:2004.05986",
        note="CLUE keeps the labels of its test rows to itself",
        originals=(
            OriginalFiles(
                {"train": ("**/train.json",), "validation": ("**/dev.json",)},
                TableFile(Columns("sentence", label="label"), "JSON Lines", _TNEWS_NAMES),
            ),
        ),
    ),
    BenchmarkSet(
        name="lcqmc",
        task="pair",
        description="pairs of Chinese questions, of one meaning or not",
        classes=2,
        sizes={"train": 238_766, "validation": 8_802, "test": 12_500},
        source=HubSource("C-MTEB/LCQMC", Columns("sentence1", "sentence2", "score")),
        license="not stated",
        citation="Liu et al. 2018, LCQMC: A Large-scale Chinese Question Matching Corpus",
        originals=(
            OriginalFiles(_splits("LCQMC_train.json", "LCQMC_dev.json", "LCQMC_test.json"), _PAIR_JSON),
            OriginalFiles(_splits("train.tsv", "dev.tsv", "test.tsv"), _PAIR_LINES),
            OriginalFiles(_splits("train.txt", "dev.txt", "test.txt"), _PAIR_LINES),
        ),
    ),
    BenchmarkSet(
        name="chnsenticorp",
        task="single label",
        description="Chinese reviews of hotels, computers and books, negative or positive",
        classes=2,
        sizes={"train": 9_600, "validation": 1_200, "test": 1_200},
        source=HubSource("lansinuote/ChnSentiCorp", Columns("text", label="label"), label_names=_POLARITY),
        license="not stated",
        citation="Tan and Zhang 2008, An Empirical Study of Sentiment Analysis for Chinese Documents",
        note="331 of the 1,200 test texts are also in train: report the other 869 as well",
        overlap=331,
        originals=(
            OriginalFiles(
                _splits("train.tsv", "dev.tsv", "test.tsv"),
                LineFile({"text": ("text_a", "text"), "label": ("label",)}, (("label", "text"),), _POLARITY),
            ),
            OriginalFiles(
                {"train": ("**/pos",)},
                ClassFolders({"neg": "negative", "pos": "positive"}),
                "pos and neg, folders of .txt files",
            ),
        ),
    ),
    BenchmarkSet(
        name="toutiao",
        task="single label",
        description="Chinese news titles, 15 topics, more than tnews has",
        classes=15,
        sizes={"train": 382_688},
        source=PublishersSource(
            "https://github.com/aceimnorstuvwxz/toutiao-text-classfication-dataset",
            "unpack the archive there",
        ),
        license="not stated",
        citation="toutiao-text-classfication-dataset, 2018",
        note="of the same source as tnews: never train on one and test on the other",
        originals=(
            OriginalFiles(
                {"train": ("**/toutiao_cat_data.txt",)},
                LineFile({}, (("", "label", "", "text", ""),), _TNEWS_NAMES, delimiter="_!_"),
            ),
        ),
    ),
    BenchmarkSet(
        name="bq",
        task="pair",
        description="pairs of Chinese customers' questions to a bank, of one meaning or not",
        classes=2,
        sizes={"train": 100_000, "validation": 10_000, "test": 10_000},
        source=HubSource("C-MTEB/BQ", Columns("sentence1", "sentence2", "score")),
        license="research use, on application to its publishers",
        citation="Chen et al. 2018, The BQ Corpus",
        originals=(
            OriginalFiles(_splits("BQ_train.json", "BQ_dev.json", "BQ_test.json"), _PAIR_JSON),
            OriginalFiles(_splits("train.csv", "dev.csv", "test.csv"), _PAIR_CSV),
            OriginalFiles(_splits("train.tsv", "dev.tsv", "test.tsv"), _PAIR_LINES),
        ),
    ),
    BenchmarkSet(
        name="nlpcc-dbqa",
        task="ranking",
        description="sentences of Chinese web pages that answer a question or not",
        classes=2,
        sizes={"train": 181_882, "test": 122_531},
        source=PublishersSource(
            "http://tcci.ccf.org.cn/conference/2016/pages/page05_evadata.html", "the conference has its files"
        ),
        license="not stated",
        citation="Duan 2016, Overview of the NLPCC-ICCPOL 2016 Shared Task",
        originals=(
            OriginalFiles(
                {
                    "train": ("**/nlpcc-iccpol-2016.dbqa.training-data*",),
                    "test": ("**/nlpcc-iccpol-2016.dbqa.testing-data*",),
                },
                _QUESTION_LINES,
            ),
            OriginalFiles(_splits("train.tsv", "dev.tsv", "test.tsv"), _QUESTION_LINES),
        ),
    ),
    BenchmarkSet(
        name="nlpcc-kbqa",
        task="ranking",
        description="relations of a knowledge base that a Chinese question asks for or not",
        classes=2,
        sizes={"train": 75_642, "validation": 12_000, "test": 59_205},
        source=PublishersSource(
            "https://github.com/yeweiyangxinci/KBQA_AT4BERT",
            "data/Sim_Data has val.txt and testing.txt, data/construct_dataset_attribute.py makes training.txt",
        ),
        license="not stated",
        citation="Duan 2016, Overview of the NLPCC-ICCPOL 2016 Shared Task",
        note="the wrong relations are drawn at random, five a question: easy to tell from the right one",
        originals=(
            OriginalFiles(
                _splits("training.txt", "val.txt", "testing.txt"),
                LineFile(
                    {},
                    (("", "text", "text_pair", "label"), ("text", "text_pair", "label")),
                    _YES_NO,
                    group_questions=True,
                ),
            ),
        ),
    ),
)
