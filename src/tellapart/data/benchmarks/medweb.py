"""NTCIR-13 MedWeb: the same short messages in three languages, labelled by what their writer suffers from."""

from __future__ import annotations

from tellapart.data.benchmarks.base import BenchmarkSet
from tellapart.data.benchmarks.originals import OriginalFiles, PublishersSource
from tellapart.data.reading.formats import FlagColumns

LABELS = ("Influenza", "Diarrhea", "Hayfever", "Cough", "Headache", "Fever", "Runnynose", "Cold")


def _medweb(code: str, language: str) -> BenchmarkSet:
    def patterns(split: str) -> tuple[str, ...]:
        file = f"**/NTCIR-13_MedWeb_{code}_{split}"
        return f"{file}.xlsx", f"{file}*.csv"

    return BenchmarkSet(
        name=f"medweb-{code}",
        task="multi-label",
        description=f"{language} messages, 8 illnesses that the writer has, or none",
        classes=len(LABELS),
        sizes={"train": 1_920, "test": 640},
        source=PublishersSource(
            "http://research.nii.ac.jp/ntcir/permission/ntcir-13/perm-en-MedWeb.html",
            "the NII hands it out on application",
        ),
        license="on application to the NII",
        citation="Wakamiya et al. 2017, Overview of the NTCIR-13 MedWeb Task",
        note="the messages are translations of each other: never train on one language and test on another",
        originals=(
            OriginalFiles(
                {"train": patterns("training"), "test": patterns("test")}, FlagColumns("Tweet", LABELS)
            ),
        ),
    )


MEDWEB = (_medweb("en", "English"), _medweb("ja", "Japanese"), _medweb("zh", "Chinese"))
