"""An experiment as one file that another lab opens: its rows, its config, its last adapters.

No pictures, questions of training, or models are in it: another lab makes or brings its own.
"""
