"""All that the lab uses of Flower 1.41 beside its public interfaces, but for ``TaskIdentity``.

``flower.client_process=per message`` does without; tests/unit/fl/test_internals.py fails loudly
where Flower changes.
"""
