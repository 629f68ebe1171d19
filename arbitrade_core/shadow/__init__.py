"""Another version of the bot beside it: a process in its own environment, fed the same inputs, compared step by step.

`leader` is the bot's side, `process` the pipe between, `follower` the other process and `replica` the engine in it;
`wire` is what they say to each other, `compare` what comes of it. docs/shadow.md tells it from outside.
"""
