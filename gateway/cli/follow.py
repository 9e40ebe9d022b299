"""Follows runs to their end: a thread for each run's events and for each job's log, one queue for whoever draws them.

Threads, because each stream is a blocking read, and the drawer must stay free to react to Ctrl-C. They are daemons: a
verb that leaves early does not wait for them. Whoever draws says which logs are read; a log thread ends with its job.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gateway.cli.client import Client
from gateway.cli.errors import CliError

Json = dict[str, Any]


class Seen(msgspec.Struct, frozen=True):
    """Something came: an event of a run, or a line of a job's log (then job is set). None, None: nothing for a while.

    past: the event belongs to an earlier run attempt than the followed one.
    """

    run: str = ""
    job: str = ""
    value: Json | None = None
    past: bool = False


class Follower:
    """Reads the streams of some runs. runs: each with the run attempt that is followed."""

    def __init__(self, client: Client, runs: dict[str, int]) -> None:
        self._client = client
        self._followed: dict[str, int] = {}
        self._news: queue.Queue[Seen | CliError | None] = queue.Queue(maxsize=20_000)
        self._logs: set[str] = set()
        self._lock = threading.Lock()
        self._open = 0
        self.add(runs)

    def add(self, runs: dict[str, int]) -> None:
        """Read these runs, too."""
        self._followed.update(runs)
        for run in runs:
            self._start(self._events, run)

    def read_log(self, job: str, attempt: int | None = None) -> None:
        """Read a job's log too, from its beginning to the end of the job (attempt: to the end of this attempt); once."""
        if job not in self._logs:
            self._logs.add(job)
            self._start(lambda identity: self._lines(identity, attempt), job)

    def seen(self, tick_seconds: float) -> Iterator[Seen]:
        """Everything until all streams have ended; an empty Seen whenever nothing came for tick_seconds."""
        while self._open:
            try:
                news = self._news.get(timeout=tick_seconds)
            except queue.Empty:
                yield Seen()
                continue
            if isinstance(news, CliError):
                raise news
            if news is not None:
                yield news
            else:
                with self._lock:
                    self._open -= 1

    def _start(self, target: Callable[[str], None], identity: str) -> None:
        with self._lock:
            self._open += 1
        threading.Thread(target=self._guarded, args=(target, identity), daemon=True).start()

    def _guarded(self, target: Callable[[str], None], identity: str) -> None:
        try:
            target(identity)
        except CliError as error:
            self._news.put(error)
        finally:
            self._news.put(None)

    def _events(self, run: str) -> None:
        run_attempt = 1
        for sent in self._client.stream(f"/runs/{run}/stream"):
            event = sent.data
            if not event:
                continue
            if event["type"] == "RunRerunRequested":
                run_attempt = event["data"]["run_attempt"]
            past = run_attempt < self._followed[run]
            self._news.put(Seen(run=run, value=event, past=past))

    def _lines(self, job: str, attempt: int | None) -> None:
        for sent in self._client.stream(f"/jobs/{job}/logs/stream", attempt=attempt):
            if sent.data:
                self._news.put(Seen(job=job, value=sent.data))
