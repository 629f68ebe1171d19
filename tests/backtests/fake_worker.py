"""The worker's process with `fakes`: `python -m tests.backtests.fake_worker`."""

from arbitrade_core.backtests.worker import leave, main
from tests.backtests.fakes import TOOLS

if __name__ == "__main__":
    leave(main(TOOLS))
