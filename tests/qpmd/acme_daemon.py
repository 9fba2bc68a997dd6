"""A daemon whose other platforms run in its own process: what hosts do is tested beside them."""

from __future__ import annotations

import sys
from pathlib import Path

from qfw.config import runtime
from qfw.config.settings import PlatformSettings, Settings
from qfw.model.errors import BrokenPlugin, ErrorReport
from qfw.qpm.platform import PlatformConfig, ProgramSource, Reactor, Sink
from qfw.qpmd.daemon import Daemon
from tests.qpm.acme import AcmePlatform


class AcmeHere(AcmePlatform):
    """Settles a moment after it was opened; broken where its plugin is called so."""

    def __init__(self, config: PlatformConfig, plugin: str, settings: PlatformSettings) -> None:
        super().__init__(config)
        self.name = config.name
        self.settled = False
        self.broken: ErrorReport | None = None
        self._plugin = plugin

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        if self._plugin != "broken":
            super().open(reactor, sink, programs)

        def settle() -> None:
            self.settled = True
            if self._plugin == "broken":
                self.broken = ErrorReport.of(BrokenPlugin("it lacks what it claims"))
            sink.devices_changed(self.name)

        reactor.call_at(reactor.now() + 0.05, settle)

    def leave(self) -> None:
        """Nothing to end early."""


if __name__ == "__main__":
    settings = Settings(
        engines=("reference",),
        platforms={"acme": PlatformSettings(), "broken": PlatformSettings()},
    )
    daemon = Daemon(runtime.prepare(Path(sys.argv[1].removeprefix("--folder="))), settings, False, AcmeHere)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    daemon.run()
