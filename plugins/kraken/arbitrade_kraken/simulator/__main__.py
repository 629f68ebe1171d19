"""`python -m arbitrade_kraken.simulator simulate ...`"""

from .command import app

app(prog_name="python -m arbitrade_kraken.simulator")
