"""Chinese benchmark sets."""

from __future__ import annotations

from tellapart.data.benchmarks.base import (
    OriginalFiles,
    PublishersSource,
    Reader,
    described_set,
)
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


def _files(reader: Reader, train: str, validation: str, test: str) -> OriginalFiles:
    return OriginalFiles.named(reader, train=train, validation=validation, test=test)


CHINESE = (
    described_set(
        "tnews",
        source=HubSource(
            "clue/clue",
            Columns("sentence", label="label"),
            "tnews",
            _TNEWS_NAMES,
            splits={"train": "train", "validation": "validation"},
        ),
        originals=(
            OriginalFiles.named(
                TableFile(Columns("sentence", label="label"), "JSON Lines", _TNEWS_NAMES),
                train="train.json",
                validation="dev.json",
            ),
        ),
    ),
    described_set(
        "lcqmc",
        source=HubSource("C-MTEB/LCQMC", Columns("sentence1", "sentence2", "score")),
        originals=(
            _files(_PAIR_JSON, "LCQMC_train.json", "LCQMC_dev.json", "LCQMC_test.json"),
            _files(_PAIR_LINES, "train.tsv", "dev.tsv", "test.tsv"),
            _files(_PAIR_LINES, "train.txt", "dev.txt", "test.txt"),
        ),
    ),
    described_set(
        "chnsenticorp",
        source=HubSource("lansinuote/ChnSentiCorp", Columns("text", label="label"), label_names=_POLARITY),
        originals=(
            _files(
                LineFile({"text": ("text_a", "text"), "label": ("label",)}, (("label", "text"),), _POLARITY),
                "train.tsv",
                "dev.tsv",
                "test.tsv",
            ),
            OriginalFiles.named(
                ClassFolders({"neg": "negative", "pos": "positive"}),
                "pos and neg, folders of .txt files",
                train="pos",
            ),
        ),
    ),
    described_set(
        "toutiao",
        source=PublishersSource(
            "https://github.com/aceimnorstuvwxz/toutiao-text-classfication-dataset",
            "unpack the archive there",
        ),
        originals=(
            OriginalFiles.named(
                LineFile({}, (("", "label", "", "text", ""),), _TNEWS_NAMES, delimiter="_!_"),
                train="toutiao_cat_data.txt",
            ),
        ),
    ),
    described_set(
        "bq",
        source=HubSource("C-MTEB/BQ", Columns("sentence1", "sentence2", "score")),
        originals=(
            _files(_PAIR_JSON, "BQ_train.json", "BQ_dev.json", "BQ_test.json"),
            _files(_PAIR_CSV, "train.csv", "dev.csv", "test.csv"),
            _files(_PAIR_LINES, "train.tsv", "dev.tsv", "test.tsv"),
        ),
    ),
    described_set(
        "nlpcc-dbqa",
        source=PublishersSource(
            "http://tcci.ccf.org.cn/conference/2016/pages/page05_evadata.html", "the conference has its files"
        ),
        originals=(
            OriginalFiles.named(
                _QUESTION_LINES,
                train="nlpcc-iccpol-2016.dbqa.training-data*",
                test="nlpcc-iccpol-2016.dbqa.testing-data*",
            ),
            _files(_QUESTION_LINES, "train.tsv", "dev.tsv", "test.tsv"),
        ),
    ),
    described_set(
        "nlpcc-kbqa",
        source=PublishersSource(
            "https://github.com/yeweiyangxinci/KBQA_AT4BERT",
            "data/Sim_Data has val.txt and testing.txt, data/construct_dataset_attribute.py makes training.txt",
        ),
        originals=(
            _files(
                LineFile(
                    {},
                    (("", "text", "text_pair", "label"), ("text", "text_pair", "label")),
                    _YES_NO,
                    group_questions=True,
                ),
                "training.txt",
                "val.txt",
                "testing.txt",
            ),
        ),
    ),
)
