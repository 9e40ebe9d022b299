"""Reads the pipes of a step on the event loop: chunks into lines, lines into the step's output, with back-pressure.

Each pipe is read a bounded chunk at a time, so that a flood from one job delays the others by milliseconds. When the
log spool is full the pipe is left alone, and the program that writes to it waits.
"""

import asyncio
import os

from runner.lines import LineSplitter
from runner.logs import LogSpool
from runner.step_output import StepOutput, Stream

CHUNK_BYTES = 64 * 1024


class PipeReader:
    """Reads one pipe to its end. `ended` is done when every writer has closed it and its last line is out."""

    def __init__(self, descriptor: int, stream: Stream, output: StepOutput, spool: LogSpool) -> None:
        self.descriptor = descriptor
        self.stream: Stream = stream
        self.output = output
        self.spool = spool
        self.splitter = LineSplitter(output.masker.cut, lambda: output.masker.longest)
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.reading = False
        self.bytes_read = 0
        self.resume()

    def resume(self) -> None:
        """Read when there is something to read."""
        if not self.reading and not self.ended.done():
            self.reading = True
            self.loop.add_reader(self.descriptor, self.read)

    def pause(self) -> None:
        """Leave the pipe alone."""
        if self.reading:
            self.reading = False
            self.loop.remove_reader(self.descriptor)

    def read(self) -> None:
        """Take one chunk."""
        try:
            chunk = os.read(self.descriptor, CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return
        self.bytes_read += len(chunk)
        self.output.lines(self.stream, self.splitter.feed(chunk))
        if self.spool.full:
            self.pause()
            self.spool.on_room.append(self.resume)

    def close(self) -> None:
        """Read no more, give out what is left of a line, and close the pipe."""
        if self.ended.done():
            return
        self.pause()
        os.close(self.descriptor)
        self.output.lines(self.stream, self.splitter.end())
        self.ended.set_result(None)
