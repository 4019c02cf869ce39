from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import arxiv
import pyarrow.parquet as pq
import pytest

from tellapart.data.benchmarks import arxiv as module
from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.registry import fetch, fetch_arxiv
from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError, MissingDependencyError, TellapartWarning, UserError

ENTRY = """
  <entry>
    <id>http://arxiv.org/abs/{id}v{version}</id>
    <updated>2019-09-01T00:00:00Z</updated>
    <published>{day}T08:00:0{number}Z</published>
    <title>Paper
  {id}</title>
    <summary>  {abstract}
</summary>
    <author><name>A. Author</name></author>
    <link href="http://arxiv.org/abs/{id}v{version}" rel="alternate" type="text/html"/>
    <link title="pdf" href="http://arxiv.org/pdf/{id}v{version}" rel="related" type="application/pdf"/>
    <arxiv:primary_category term="{primary}" scheme="http://arxiv.org/schemas/atom"/>
    {categories}
  </entry>"""

FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom"
      xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">
  <title type="html">ArXiv Query</title>
  <opensearch:totalResults>{total}</opensearch:totalResults>
  <opensearch:startIndex>{start}</opensearch:startIndex>
  <opensearch:itemsPerPage>{size}</opensearch:itemsPerPage>{entries}
</feed>"""

PAPERS_A_DAY = 5
CATEGORIES = (["cs.CL", "stat.ML"], ["cs.LG", "cs.CL", "68T05"], ["cs.CV"], ["stat.ML", "cs.LG"], ["cs.CL"])


class Api(ThreadingHTTPServer):
    """arXiv, as far as the client sees it: five papers a day, asked for page by page."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.agents: set[str] = set()
        self.failures: dict[str, int] = {}  # day to how many requests for it fail yet
        self.silences: dict[str, int] = {}  # day to how many requests for it get an empty answer yet
        self.empty: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/query?{{}}"

    def days(self) -> list[str]:
        """The days that were asked for, in order, each once."""
        return list(dict.fromkeys(day_of(query) for query in self.asked))


def day_of(query: dict[str, str]) -> str:
    found = re.search(r"submittedDate:\[(\d{8})0000 TO (\d{8})2359\]$", query["search_query"])
    assert found, query
    assert found[1] == found[2]
    return f"{found[1][:4]}-{found[1][4:6]}-{found[1][6:]}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        day = day_of(query)
        self.server.asked.append(query)
        self.server.agents.add(self.headers["user-agent"])
        if self.server.failures.get(day, 0):
            self.server.failures[day] -= 1
            self.send_error(503)
            return
        silent = self.server.silences.get(day, 0) > 0 or day in self.server.empty
        self.server.silences[day] = self.server.silences.get(day, 0) - 1
        content = feed(day, int(query["start"]), int(query["max_results"]), silent).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def feed(day: str, start: int, size: int, silent: bool) -> str:
    total = 0 if silent else PAPERS_A_DAY
    numbers = range(start, min(start + size, total))
    return FEED.format(
        total=total, start=start, size=size, entries="".join(entry(day, number) for number in numbers)
    )


def entry(day: str, number: int) -> str:
    categories = CATEGORIES[number]
    return ENTRY.format(
        id=f"{day[2:4]}{day[5:7]}.{day[8:]}00{number}",
        version=number + 1,
        day=day,
        number=number,
        abstract=escape(f"On {day} we study <{number}>.\n  It has a second line, \u2028 and more."),
        primary=categories[0],
        categories="".join(f'<category term="{name}"/>' for name in categories),
    )


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(arxiv.Client, "query_url_format", server.url)
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TELLAPART_DATA", raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def days(first: str, count: int) -> list[str]:
    return [str(date.fromisoformat(first) + timedelta(days=number)) for number in range(count)]


def test_papers_of_a_range_of_days_become_a_task(api: Api) -> None:
    folder = fetch_arxiv("2019-01-30", "2019-02")
    assert api.days() == days("2019-01-30", 30)
    assert all(query["search_query"].startswith("cat:cs.* AND ") for query in api.asked)
    tables = {path.stem: pq.read_table(path) for path in folder.glob("*.parquet")}
    ids = {name: set(table["id"].to_pylist()) for name, table in tables.items()}
    assert len(ids["test"]) == pytest.approx(30, abs=4)  # 20 %, and 20 % of the rest
    assert len(ids["validation"]) == pytest.approx(24, abs=5)
    assert len(set.union(*ids.values())) == 150
    rows = {row["id"]: row for table in tables.values() for row in table.to_pylist()}
    assert rows["1902.28001"] == {
        "id": "1902.28001",
        "text": "On 2019-02-28 we study <1>.\n  It has a second line, \u2028 and more.",
        "labels": ["cs.LG", "cs.CL"],
    }
    origin = json.loads((folder / "source.json").read_text())
    assert origin["source"] == "arXiv cs, 2019-01-30 to 2019-02-28"
    data = read_data(str(folder))
    assert data.labels.names == ("cs.CL", "cs.CV", "cs.LG")
    assert data.labels.multi_label


def test_the_client_asks_page_by_page_in_order_of_submission_and_says_who_it_is(api: Api) -> None:
    ArxivSource("cs", "2019-01-01", "2019-01-02").tables()
    first = [query for query in api.asked if day_of(query) == "2019-01-01"]
    assert [(query["start"], query["max_results"]) for query in first] == [("0", "2"), ("2", "2"), ("4", "2")]
    assert {(query["sortBy"], query["sortOrder"]) for query in first} == {("submittedDate", "ascending")}
    assert all(agent.startswith("arxiv.py/") for agent in api.agents)


def test_between_two_requests_the_client_waits_as_arxiv_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client = module._client()
    assert (client.delay_seconds, client.page_size, client.num_retries) == (3.0, 500, 3)


def test_a_fetched_set_and_its_days_are_not_asked_for_again(api: Api) -> None:
    folder = fetch_arxiv("2019-01-01", "2019-01-06")
    asked = len(api.asked)
    assert fetch_arxiv("2019-01-01", "2019-01-06") == folder
    assert len(api.asked) == asked
    other = fetch_arxiv("2019-01-04", "2019-01-08", seed=1)
    assert other != folder
    assert api.days() == days("2019-01-01", 8)


def test_the_seed_decides_the_split(api: Api) -> None:
    def tests(seed: int) -> list[str]:
        return ArxivSource("cs", "2019-01", "2019-01", seed).tables()["test"]["id"].to_pylist()

    assert tests(0) == tests(0)
    assert tests(0) != tests(1)


def test_a_page_that_fails_is_asked_for_again(api: Api) -> None:
    api.failures["2019-01-02"] = 3
    tables = ArxivSource("cs", "2019-01-01", "2019-01-03").tables()
    assert sum(table.num_rows for table in tables.values()) == 3 * PAPERS_A_DAY


def test_an_empty_answer_is_not_believed_at_once(api: Api) -> None:
    api.silences["2019-01-02"] = 1
    tables = ArxivSource("cs", "2019-01-01", "2019-01-03").tables()
    assert sum(table.num_rows for table in tables.values()) == 3 * PAPERS_A_DAY


def test_days_without_papers_are_warned_of_and_asked_for_another_time(api: Api) -> None:
    api.empty = {"2019-01-02", "2019-01-03"}
    source = ArxivSource("cs", "2019-01-01", "2019-01-04")
    with pytest.warns(TellapartWarning, match="no papers for 2 of 4 days, the first is 2019-01-02"):
        source.tables()
    api.empty, api.asked = set(), []
    assert sum(table.num_rows for table in source.tables().values()) == 4 * PAPERS_A_DAY
    assert api.days() == ["2019-01-02", "2019-01-03"]


def test_a_fetch_that_failed_goes_on_where_it_was(api: Api, tmp_path: Path) -> None:
    api.failures["2019-01-03"] = 99
    with pytest.raises(DataError, match=r"papers of 2019-01-03 .*503.*resumes there"):
        fetch_arxiv("2019-01-01", "2019-01-05")
    assert not list((tmp_path / "cache").glob("arxiv-cs-*"))
    api.failures, api.asked = {}, []
    folder = fetch_arxiv("2019-01-01", "2019-01-05")
    assert api.days() == ["2019-01-03", "2019-01-04", "2019-01-05"]
    assert sum(json.loads((folder / "source.json").read_text())["sizes"].values()) == 5 * PAPERS_A_DAY


def test_a_fetch_that_was_killed_goes_on_and_ends_as_one_that_was_not(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed while it writes the papers of the third day."""
    code = f"""
import os, signal
import arxiv
from tellapart.data.benchmarks import arxiv as module
from tellapart.data.benchmarks.registry import fetch_arxiv
arxiv.Client.query_url_format = {api.url!r}
module.DELAY_SECONDS = 0.0
written = []
def dumps(paper):
    written.append(paper)
    if len(written) == {2 * PAPERS_A_DAY + 3}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(paper)
real, module.json.dumps = module.json.dumps, dumps
fetch_arxiv("2019-01-01", "2019-01-05")
"""
    killed = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert killed.returncode == -9
    kept = tmp_path / "cache" / "arxiv-days" / "cs"
    assert sorted(path.name for path in kept.glob("*.jsonl")) == ["2019-01-01.jsonl", "2019-01-02.jsonl"]
    api.asked = []
    folder = fetch_arxiv("2019-01-01", "2019-01-05")
    assert api.days() == ["2019-01-03", "2019-01-04", "2019-01-05"]
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "other"))
    whole = fetch_arxiv("2019-01-01", "2019-01-05")
    for split in ("train", "validation", "test"):
        assert pq.read_table(folder / f"{split}.parquet") == pq.read_table(whole / f"{split}.parquet")


def test_no_papers_at_all_or_too_few_to_split_are_an_error(api: Api) -> None:
    api.empty = {"2019-01-01"}
    with (
        pytest.warns(TellapartWarning),
        pytest.raises(DataError, match="no papers in arXiv cs, 2019-01-01 to 2019-01-01"),
    ):
        fetch_arxiv("2019-01-01", "2019-01-01")
    with pytest.raises(DataError, match="no papers in arXiv math"):  # none has a category of it
        fetch_arxiv("2019-01-02", "2019-01-02", archive="math")


def test_the_registered_set_has_the_days_of_the_paper(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(TellapartWarning, match="but .*38188.* were expected"):
        folder = fetch("arxiv")
    assert api.days() == days("2019-01-01", 155)
    assert folder.name == "arxiv"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("../cs", "2019-01", "2019-02"), 'not an archive with several categories'),
        (("hep-th", "2019-01", "2019-02"), "choose one of astro-ph"),
        (("cs", "2019-02", "2019-01"), "2019-02-01 comes after 2019-01-31"),
        (("cs", "2019-1", "2019-02"), '"2019-1" is not a day'),
        (("cs", "2019-01", "2019-02-30"), '"2019-02-30" is not a day'),
        (("cs", "2019-01", "2999-01"), "2999-01-31 is not over yet"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused_before_anything_is(given: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ArxivSource(*given)


def test_without_the_package_the_extra_is_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arxiv", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[arxiv\]'"):
        fetch_arxiv("2019-01", "2019-01")
    assert api.asked == []
