from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tellapart.data.benchmarks.registry import named_tables, registered
from tellapart.errors import DataError

Put = Callable[..., Path]

SYMPTOMS = ("Influenza", "Diarrhea", "Hayfever", "Cough", "Headache", "Fever", "Runnynose", "Cold")
MEDWEB_HEADER = ["ID", "Tweet", *SYMPTOMS]


def json_lines(*rows: dict) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_rows(name: str) -> dict[str, list[tuple]]:
    tables, _ = named_tables(name)
    return {split: [tuple(row.values()) for row in table.to_pylist()] for split, table in tables.items()}


def medweb_csv(*rows: str) -> str:
    return "\n".join([",".join(MEDWEB_HEADER), *rows]) + "\n"


# Each: the set, its files as published, and the rows that they hold (text, second text, label, question id).
PUBLISHED = {
    "tnews": (
        "tnews",
        {
            "tnews_public/train.json": json_lines(
                {"label": "108", "label_desc": "news_edu", "sentence": "上课时学生手机响", "keywords": ""},
                {"label": "104", "label_desc": "news_finance", "sentence": "商赢环球", "keywords": "a,b"},
            ),
            "tnews_public/dev.json": json_lines(
                {"label": "102", "label_desc": "news_entertainment", "sentence": "江疏影", "keywords": "江"}
            ),
            "tnews_public/test.json": json_lines({"id": 0, "sentence": "在设计师眼里", "keywords": ""}),
            "tnews_public/labels.json": json_lines({"label": "100", "label_desc": "news_story"}),
        },
        {
            "train": [("上课时学生手机响", "news_edu"), ("商赢环球", "news_finance")],
            "validation": [("江疏影", "news_entertainment")],
        },
    ),
    "toutiao": (
        "toutiao",
        {
            "toutiao_cat_data.txt": "65517_!_101_!_news_culture_!_京城最值得你来场\u2028文化之旅_!_保利集团,马未都\n"
            "65518_!_114_!_stock_!_股票中的_!_\n"
            "65519_!_116_!_news_game_!_标题_!_词_!_词\n"
        },
        {
            "train": [
                ("京城最值得你来场\u2028文化之旅", "news_culture"),
                ("股票中的", "news_stock"),
                ("标题", "news_game"),
            ]
        },
    ),
    "lcqmc with names": (
        "lcqmc",
        {
            "train.tsv": 'text_a\ttext_b\tlabel\n喜欢"打篮球的\t爱打篮球\t1\n',
            "dev.tsv": "text_a\ttext_b\tlabel\n开初婚\t初婚\t0\n",
        },
        {"train": [('喜欢"打篮球的', "爱打篮球", "1")], "validation": [("开初婚", "初婚", "0")]},
    ),
    "lcqmc without names": (
        "lcqmc",
        {"lcqmc/train.txt": "a\tb\t1\r\nc\td\t0\r\n", "lcqmc/test.txt": "e\tf\n"},
        {"train": [("a", "b", "1"), ("c", "d", "0")], "test": [("e", "f")]},
    ),
    "lcqmc as its publishers have it": (
        "lcqmc",
        {
            "LCQMC_train.json": json_lines(
                {"gold_label": "0", "sentence1": "咸鱼怎么做", "sentence2": "小咸鱼干", "ID": "11"}
            ),
            "LCQMC_dev.json": json_lines(
                {"gold_label": "1", "sentence1": "a", "sentence2": "b", "ID": "12"},
                {"gold_label": "0", "sentence1": "c", "sentence2": "d", "ID": "13"},
            ),
        },
        {"train": [("咸鱼怎么做", "小咸鱼干", "0")], "validation": [("a", "b", "1"), ("c", "d", "0")]},
    ),
    "bq as CSV": (
        "bq",
        {
            "train.csv": 'sentence1,sentence2,label\n"银行,卡",怎么开卡,1\n',
            "dev.csv": "sentence1,sentence2,label\na,b,0\n",
        },
        {"train": [("银行,卡", "怎么开卡", "1")], "validation": [("a", "b", "0")]},
    ),
    "bq as TSV": (
        "bq",
        {"bq_corpus/train.tsv": "a, b\tc\t1\n", "bq_corpus/test.tsv": "d\te\t0\n"},
        {"train": [("a, b", "c", "1")], "test": [("d", "e", "0")]},
    ),
    "chnsenticorp": (
        "chnsenticorp",
        {
            "train.tsv": "label\ttext_a\n1\t选择珠江花园\n0\t房间太小\n",
            "dev.tsv": "qid\tlabel\ttext_a\n0\t1\t這間酒店\n",
            "test.tsv": "qid\tlabel\ttext_a\n0\t0\t前台\n",
        },
        {
            "train": [("选择珠江花园", "positive"), ("房间太小", "negative")],
            "validation": [("這間酒店", "positive")],
            "test": [("前台", "negative")],
        },
    ),
    "chnsenticorp as folders in UTF-8": (
        "chnsenticorp",
        {"pos/1.txt": "\ufeff十", "neg/1.txt": "坏 "},
        {"train": [("坏", "negative"), ("十", "positive")]},
    ),
    "chnsenticorp as folders": (
        "chnsenticorp",
        {
            "ChnSentiCorp_htl_ba_6000/pos/pos.10.txt": "十".encode("gbk"),
            "ChnSentiCorp_htl_ba_6000/pos/pos.9.txt": "很好\n".encode("gb2312"),
            "ChnSentiCorp_htl_ba_6000/neg/neg.0.txt": "太差\n第二行".encode("gbk"),
            "ChnSentiCorp_htl_ba_6000/neg/neg.1.txt": "坏".encode("gbk") + b"\xff",
            "ChnSentiCorp_htl_ba_6000/neg/notes.md": "not a text",
        },
        {
            "train": [
                ("太差\n第二行", "negative"),
                ("坏\ufffd", "negative"),
                ("很好", "positive"),
                ("十", "positive"),
            ]
        },
    ),
    "nlpcc-dbqa": (
        "nlpcc-dbqa",
        {
            "nlpcc-iccpol-2016.dbqa.training-data": "\ufeff问一\t答一\t0\n问一\t答二\t1\n"
            "问二\t答三\t1\n问一\t答四\t0\n",
            "nlpcc-iccpol-2016.dbqa.testing-data": "问三\t答\t1\n",
        },
        {
            "train": [
                ("问一", "答一", "0", "0"),
                ("问一", "答二", "1", "0"),
                ("问二", "答三", "1", "1"),
                ("问一", "答四", "0", "2"),
            ],
            "test": [("问三", "答", "1", "0")],
        },
    ),
    "nlpcc-dbqa with names": (
        "nlpcc-dbqa",
        {"train.tsv": "qid\ttext_a\ttext_b\tlabel\n7\t问一\t答一\t0\n8\t问一\t答二\t1\n"},
        {"train": [("问一", "答一", "0", "0"), ("问一", "答二", "1", "0")]},
    ),
    "nlpcc-kbqa": (
        "nlpcc-kbqa",
        {
            "Sim_Data/training.txt": "12000\t谁写的\t作者\t1\n12001\t谁写的\t片 长\t0\n",
            "Sim_Data/val.txt": "问\t妻子\t0\n",
        },
        {
            "train": [("谁写的", "作者", "1", "0"), ("谁写的", "片 长", "0", "0")],
            "validation": [("问", "妻子", "0", "0")],
        },
    ),
    "aapd": (
        "aapd",
        {
            "aapd/text_train": "the cross domain\nin this paper\n",
            "aapd/label_train": "cs.it math.it\ncs.lg\n",
            "aapd/text_test": "a test",
            "aapd/label_test": "cs.lg\n",
        },
        {
            "train": [("the cross domain", ["cs.it", "math.it"]), ("in this paper", ["cs.lg"])],
            "test": [("a test", ["cs.lg"])],
        },
    ),
    "medweb-en as CSV": (
        "medweb-en",
        {
            "NTCIR-13_MedWeb_en_training.csv": medweb_csv(
                '1en,"The cold, it makes my whole body weak.",n,n,n,n,n,n,n,p',
                "2en,It's been a while since I've had allergy symptoms.,n,n,p,n,n,n,P,n",
                "3en,A cold is a legit disease.,n,n,n,n,n,n,n,n",
            )
        },
        {
            "train": [
                ("The cold, it makes my whole body weak.", ["Cold"]),
                ("It's been a while since I've had allergy symptoms.", ["Hayfever", "Runnynose"]),
                ("A cold is a legit disease.", []),
            ]
        },
    ),
    "cola": (
        "cola",
        {
            "CoLA/train.tsv": "gj04\t1\t\tOur friends won't buy it.\n",
            "CoLA/dev.tsv": 'gj04\t0\t*\tThe "sailors.\n',
        },
        {
            "train": [("Our friends won't buy it.", "acceptable")],
            "validation": [('The "sailors.', "unacceptable")],
        },
    ),
    "sst2": (
        "sst2",
        {
            "train.tsv": "sentence\tlabel\nhide new secretions \t0\n",
            "test.tsv": "index\tsentence\n0\tuneasy\n",
        },
        {"train": [("hide new secretions ", "negative")]},
    ),
    "mrpc": (
        "mrpc",
        {
            "train.tsv": '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\tAmrozi "said\tHe said\n',
            "test.tsv": "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n",
        },
        {"train": [('Amrozi "said', "He said", "equivalent")], "test": [("a", "b")]},
    ),
    "mrpc as its publishers have it": (
        "mrpc",
        {"msr_paraphrase_test.txt": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n"},
        {"test": [("a", "b", "not_equivalent")]},
    ),
    "rte": (
        "rte",
        {"train.tsv": "index\tsentence1\tsentence2\tlabel\n0\tNo weapons.\tWeapons.\tnot_entailment\n"},
        {"train": [("No weapons.", "Weapons.", "not_entailment")]},
    ),
    "stsb": (
        "stsb",
        {
            "STS-B/train.tsv": 'index\tsentence1\tsentence2\tscore\n0\tA "plane.\tAn air plane.\t5.000\n',
            "STS-B/test.tsv": "index\tgenre\tsentence1\tsentence2\n0\tnews\ta\tb\n",
        },
        {"train": [('A "plane.', "An air plane.", "5.000")]},
    ),
    "qnli": (
        "qnli",
        {"dev.tsv": "index\tquestion\tsentence\tlabel\n0\tWhat?\tThat.\tentailment\n"},
        {"validation": [("What?", "That.", "entailment")]},
    ),
    "mnli": (
        "mnli",
        {
            "dev_matched.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tneutral\tcontradiction\n",
            "dev_mismatched.tsv": "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tc\td\tneutral\tneutral\n",
        },
        {"validation": [("a", "b", "contradiction")]},
    ),
    "qqp": (
        "qqp",
        {
            "train.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
            "1\t2\t3\tHow?\tWhy?\t0\n4\t5\t6\tcut off\n7\t8\t9\tWho?\tWhom?\t1\n"
        },
        {"train": [("How?", "Why?", "not_duplicate"), ("Who?", "Whom?", "duplicate")]},
    ),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_the_files_of_a_set_are_read_as_they_are_published(put: Put, case: str) -> None:
    name, files, expected = PUBLISHED[case]
    put(name, files)  # type: ignore[arg-type]
    assert as_rows(name) == expected


def test_every_registered_form_is_among_those_tested() -> None:
    tested = {name for name, _, _ in PUBLISHED.values()}
    assert {name for name, one in registered().items() if one.originals} - tested == {
        "medweb-ja",
        "medweb-zh",
    }


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("tnews", {"train.json": json_lines({"label": "105", "sentence": "a"}) * 2}, r'label "105" in row 1'),
        ("tnews", {"train.json": json_lines({"label": "100", "text": "a"}) * 2}, 'no column "sentence"'),
        ("tnews", {"train.json": '{"label": "100"\n' * 2}, "line 1 of .* is not JSON"),
        ("toutiao", {"toutiao_cat_data.txt": "1_!_101_!_x\n"}, r"3 field\(s\) in its first line instead of 5"),
        ("lcqmc", {"train.tsv": "a\tb\t1\nc\td\t2\n"}, 'label "2" in line 2.*use one of 0, 1'),
        ("lcqmc", {"train.tsv": "a\tb\t1\nc d\t1\n"}, r"2 field\(s\) in line 2 instead of 3"),
        ("lcqmc", {"train.tsv": "a\tb\t1\nc\td\te\t1\n"}, r"4 field\(s\) in line 2 instead of 3"),
        ("lcqmc", {"train.tsv": "a\tb\n"}, "train.tsv has no labels"),
        ("lcqmc", {"train.tsv": "text_a\tlabel\na\t1\n"}, 'no column "text_b", only text_a, label'),
        ("lcqmc", {"train.tsv": "text_a\ttext_b\tlabel\n"}, "has no rows"),
        ("lcqmc", {"train.tsv": b"a\tb\t1\n\xb0\xa1\tb\t0\n"}, "not UTF-8: line 2"),
        ("lcqmc", {"train.tsv": ""}, "is empty"),
        ("nlpcc-dbqa", {"nlpcc-iccpol-2016.dbqa.training-data": "1\t问\t答\n"}, 'label "答" in line 1'),
        ("rte", {"train.tsv": "0\ta\tb\tentailment\n"}, r"4 field\(s\) in its first line and no header"),
        ("chnsenticorp", {"pos/1.txt": "a"}, "neg has no .txt files"),
        ("aapd", {"text_train": "a\n"}, "label_train is missing"),
        ("aapd", {"text_train": "a\nb\n", "label_train": "x\n"}, "has 2 lines, but label_train has 1"),
        ("aapd", {"text_train": "", "label_train": ""}, "is empty"),
        ("medweb-en", {"NTCIR-13_MedWeb_en_training.csv": "ID,Tweet,Cold\n1,a,p\n"}, 'no column "Influenza"'),
        (
            "medweb-en",
            {"NTCIR-13_MedWeb_en_training.csv": medweb_csv("1en,a" + ",n" * 7 + ",x")},
            'row 1 of .* has "x" in column "Cold"',
        ),
        ("medweb-en", {"NTCIR-13_MedWeb_en_training.xlsx": "no workbook"}, "cannot be read as an Excel file"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_published_is_refused(put: Put, name: str, files: dict, message: str) -> None:
    put(name, files)
    with pytest.raises(DataError, match=message):
        named_tables(name)
