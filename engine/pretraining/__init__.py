"""Training the bundled model from scratch: ``python -m engine pretrain``.

End to end from random weights the loss sits on a text-only plateau: the vision tower gets almost no
signal through an untrained language model. So there are two stages, first *vision* (vision.py),
then *language* (language.py). A stage that is finished is kept and not repeated.
"""
